"""The inbox: the pages on which people read what they were sent in the app."""
