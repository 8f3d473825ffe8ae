"""Parts that know nothing of notifications: time, databases, addresses, rates."""
