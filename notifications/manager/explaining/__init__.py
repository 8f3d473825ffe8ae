"""Why somebody gets it, or not: gate by gate before it is sent, and from what was written down afterwards."""
