"""The inbox: the pages on which users read their notifications in the app."""
