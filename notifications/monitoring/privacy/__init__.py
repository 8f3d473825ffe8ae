"""Privacy: export or erase everything that Klaxon holds about a person."""
