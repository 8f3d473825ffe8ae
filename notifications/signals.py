"""Signals. Each reports a fact; receivers cannot change what happened.

``notifications_queued(partition, notification_ids, commit)`` is sent after the commit of the transaction that queued
the notifications; ``commit`` is the same object for all notifications of one transaction. ``delivery_sent``,
``delivery_failed`` and ``delivery_dropped`` (``partition, delivery``) are sent after the commit of the outcome;
``delivery_failed`` means that the delivery is dead, not that it will be retried. ``notification_acknowledged``
(``partition, notification, user``) is sent after the commit of a user's first acknowledgement.
``tracking_event_recorded`` (``partition, event``) is sent after the commit of a new :class:`TrackingEvent`, such as a
bounce; its ``delivery`` is None if Klaxon did not send the mail, or if the outcome of its delivery is not written yet.
Then it is sent again when the delivery is known.
``recipient_unsubscribed`` (``partition, user, cluster, channel, scope, name, notification_id``) is sent after the
commit of what a user has turned off by the link in an email. ``inbox_changed`` (``partition, user_ids, using``) is
sent within the transaction that adds or changes inbox items of these users, in the database ``using``, and
``live_messages_added`` (the same arguments) within the one that adds messages of the channel ``websocket``. Receivers
of these two must not fail; use ``transaction.on_commit()`` for slow work.
``webhook_endpoint_disabled`` (``endpoint``) is sent within the transaction in which Klaxon disables an endpoint,
because it is gone or has only failed for days. ``escalation_exhausted`` (``run``) is sent within the transaction in
which an escalation ends because nobody has acknowledged its last step. What a receiver sends or writes is committed
with it; if a receiver fails, what it wrote is rolled back, and the error is logged.
"""

from django.dispatch import Signal

notifications_queued = Signal()
delivery_sent = Signal()
delivery_failed = Signal()
delivery_dropped = Signal()
notification_acknowledged = Signal()
tracking_event_recorded = Signal()
recipient_unsubscribed = Signal()
inbox_changed = Signal()
live_messages_added = Signal()
webhook_endpoint_disabled = Signal()
escalation_exhausted = Signal()
