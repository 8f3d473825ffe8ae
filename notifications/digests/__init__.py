"""Digests and batches: what waited together goes out together, each item in exactly one of them.

A worker, or ``manage.py make_digests``, makes those that are due. One transaction takes the waiting deliveries, asks
again who may have them, writes one delivery for all and merges them into it. Whatever none came for within an hour of
its time goes out alone.
"""

from notifications.digests.make import Made, make_due, release_forgotten
from notifications.digests.sections import Section
from notifications.digests.summaries import send_summaries

__all__ = ["Made", "Section", "make_due", "release_forgotten", "send_summaries"]
