"""Parts that import no models: time, databases, addresses, rates, and pure rules about deliveries."""
