"""The alarm: the system says by itself that it does not work, on a path that still works.

``examination.py`` decides with the probes whether a cause is bad for long enough, ``announcements.py`` sends the events
to operators and queues a call of the hook, ``calls.py`` makes these calls, and ``without_database.py`` calls the hook
while the database is away.
"""

from notifications.monitoring.alarm.recovery import register_recovery

__all__ = ["register_recovery"]
