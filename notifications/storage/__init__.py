"""SQL statements for PostgreSQL and SQLite where the ORM is too slow or cannot express it."""
