"""Templates that staff edit in the admin, in the database, instead of template files."""
