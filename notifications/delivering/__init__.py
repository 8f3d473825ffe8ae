"""From a row in the outbox to an answer of a provider, recorded in the log."""
