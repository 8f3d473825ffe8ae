"""Parts that do not depend on notifications: time, databases, addresses, rates."""
