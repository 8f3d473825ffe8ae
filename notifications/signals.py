"""Signals. Each is a fact in the past tense, never a command; receivers cannot change what happened.

``notifications_queued(partition, notification_ids, commit)`` fires after the commit of the transaction that queued
them; ``commit`` is the same object for all that one transaction queued.
``delivery_sent``, ``delivery_failed`` and ``delivery_dropped`` (``partition, delivery``) fire after the commit of the
outcome; ``delivery_failed`` means dead, not a try that will be repeated. ``notification_acknowledged`` (``partition,
notification, user``) fires after the commit of the first acknowledgement of a user.
"""

from django.dispatch import Signal

notifications_queued = Signal()
delivery_sent = Signal()
delivery_failed = Signal()
delivery_dropped = Signal()
notification_acknowledged = Signal()
