"""The provider of a delivery: circuit breakers, the choice of a provider, and retries."""
