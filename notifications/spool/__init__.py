"""Calls of ``send()`` on the local disk while the database is away."""
