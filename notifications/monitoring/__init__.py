"""What operators need: whether the parts of the system work, its figures, and what to do if something is wrong."""
