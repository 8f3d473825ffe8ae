"""Unsubscribing: the signed links in emails, and the pages that they open. Neither requires a log-in."""
