"""Find duplicates: recipients who got the same notification within the deduplication window of its event."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils.crypto import salted_hmac

from notifications import conf
from notifications.conf import get_address_kind
from notifications.context import encoded, make_comparable
from notifications.events import NotificationEvent, key_of
from notifications.models import Fingerprint, Notification
from notifications.models.fingerprint import Original
from notifications.sending.request import Request

SALT = "notifications.duplicates"
# Takes recipient keys by fingerprint. Returns the original notification for each fingerprint that is a duplicate.
DuplicateLookup = Callable[[Mapping[str, str]], Mapping[str, Original]]


def find_duplicates(
    request: Request, candidates: Iterable[Any], is_deliverable: Callable[[Any], bool], lookup: DuplicateLookup
) -> Mapping[str, Original]:
    """Return the original notification by recipient key, for the recipients of a chunk who get a duplicate.

    This is decided once for each recipient, for all channels. Recipients who get nothing anyway are not looked up, and
    no fingerprint is reserved for them. There is no query if the event has no deduplication window, or if the context
    lacks a deduplication key.

    :param is_deliverable: whether the gates before the duplicate gate let a candidate through.
    """
    if not request.event.dedup_window or not request.has_dedup_keys:
        return {}
    fingerprint = make_fingerprint_function(request.event, request.cluster, request.context)
    # In the order of the audience, which is the same in every send(), so that two sends cannot deadlock.
    channels = _get_counted_channels(request.event)
    keys = dict.fromkeys(
        candidate.key for candidate in candidates if candidate.channel in channels and is_deliverable(candidate)
    )
    wanted = {fingerprint(key): key for key in keys}
    return {wanted[hashed]: original for hashed, original in lookup(wanted).items()} if wanted else {}


def make_fingerprint_function(
    event: NotificationEvent, cluster: Any, context: Mapping[str, Any]
) -> Callable[[str], str]:
    """Return a function from a recipient key to the fingerprint of this event, cluster and context.

    Fingerprints are the same in all processes.
    """
    values = context.get("$dict", context)
    payload = [
        encoded(cluster.pk),
        key_of(event.name),
        {key: make_comparable(values.get(key)) for key in event.dedup_keys},
    ]
    text = json.dumps(payload, sort_keys=True) + "\n"
    # Fingerprints are stored. Without a secret, one could try the possible values of a short code.
    is_secret = event.sensitive
    common_hash = salted_hmac(SALT, text, algorithm="sha256") if is_secret else hashlib.sha256(text.encode())

    def fingerprint(recipient_key: str) -> str:
        full_hash = common_hash.copy()
        full_hash.update(recipient_key.encode())
        return full_hash.hexdigest()

    return fingerprint


def make_reserving_lookup(
    event: NotificationEvent, notification: Notification, now: datetime, using: str
) -> DuplicateLookup:
    """Return a lookup that reserves the fingerprints that are not duplicates, until the window of the event ends."""
    until = now + timedelta(seconds=event.dedup_window)
    rows = Fingerprint.objects.using(using)
    return lambda wanted: rows.reserve(wanted, Original(notification.pk, now), until, _get_counted_channels(event))


def make_read_only_lookup(event: NotificationEvent, now: datetime, using: str) -> DuplicateLookup:
    """Return a lookup that reserves nothing."""
    return lambda wanted: Fingerprint.objects.using(using).find_duplicates(wanted, now, _get_counted_channels(event))


def _get_counted_channels(event: NotificationEvent) -> set[str]:
    """Return the channels on which recipients are reached.

    Channels that send to nobody, such as the log, count only if the event has no others.
    """
    named = {*event.channels, *map(key_of, event.fallback.values())}
    to_nobody = {name for name in named & conf.current().enabled_channels if not get_address_kind(name)}
    return named - to_nobody or named
