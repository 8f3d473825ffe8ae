"""The provider of a delivery: circuit breakers, and the choice of a provider."""
