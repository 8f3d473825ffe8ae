"""Escalation: if nobody acknowledges a notification in time, the next person or group gets it."""
