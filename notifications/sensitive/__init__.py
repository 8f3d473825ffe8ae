"""Sensitive events: the page that shows their content to its recipient, and the rotation of the keys."""
