"""From a call of ``send()`` to committed rows in the outbox."""
