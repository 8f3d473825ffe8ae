"""The delivering wing's work: claim, ask again, render, send, record."""
