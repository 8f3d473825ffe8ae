"""Keep calls of ``send()`` on the local disk while the database is unavailable."""
