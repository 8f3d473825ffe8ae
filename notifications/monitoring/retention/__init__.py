"""Retention: rows are deleted when they are old enough and nothing needs them, and can be archived before."""
