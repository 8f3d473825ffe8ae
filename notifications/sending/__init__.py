"""Turn calls of ``send()`` into rows of the outbox."""
