"""The CAN door: from frames on a vehicle's bus to notifications."""
