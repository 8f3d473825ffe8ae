"""Pages for operators and for programs that watch the site."""
