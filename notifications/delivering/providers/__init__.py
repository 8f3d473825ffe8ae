"""Which provider gets a delivery: circuit breakers, the choice among providers, retries."""
