"""Digests and batches: held deliveries are sent as one message, and each is in exactly one message.

A worker, or ``manage.py make_digests``, makes those that are due. One transaction reads the held deliveries, calls the
gates again, writes one delivery for all of them and merges them into it. A delivery that is in no digest or batch an
hour after its time is sent as an ordinary message.
"""

from notifications.digests.make import DigestResult, make_due, release_overdue
from notifications.digests.section_digests import send_section_digests
from notifications.digests.sections import Section

__all__ = ["DigestResult", "Section", "make_due", "release_overdue", "send_section_digests"]
