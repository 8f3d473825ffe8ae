"""Signals. Each reports a fact; receivers cannot change what happened.

``notifications_queued(partition, notification_ids, commit)`` is sent after the commit of the transaction that queued
the notifications; ``commit`` is the same object for all notifications of one transaction. ``delivery_sent``,
``delivery_failed`` and ``delivery_dropped`` (``partition, delivery``) are sent after the commit of the outcome;
``delivery_failed`` means that the delivery is dead, not that it will be retried. ``notification_acknowledged``
(``partition, notification, user``) is sent after the commit of a user's first acknowledgement.
"""

from django.dispatch import Signal

notifications_queued = Signal()
delivery_sent = Signal()
delivery_failed = Signal()
delivery_dropped = Signal()
notification_acknowledged = Signal()
