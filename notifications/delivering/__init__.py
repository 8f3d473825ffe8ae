"""Claims deliveries from the outbox, hands them to providers and records each answer in the log."""
