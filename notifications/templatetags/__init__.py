"""Template tags for pages of the host."""
