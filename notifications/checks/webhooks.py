"""Checks of webhooks: whether events can reach endpoints, and whether the secrets of endpoints are encrypted."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Warning

from notifications import conf
from notifications.conf import has_subscribers
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent

Messages = Iterator[CheckMessage]
CHANNEL = "webhook"


def check_webhooks() -> Messages:
    if CHANNEL not in conf.current().enabled_channels or not _is_built_in():
        return
    for event in NOTIFICATION_EVENTS.values():
        for fault, hint in _find_faults(event):
            yield Error(f"The event {event.name!r} {fault}", hint=hint, id="klaxon.E026")
    if not conf.current().encryption_keys:
        yield Warning(
            "The secrets of webhook endpoints are stored without encryption. Whoever reads the database can sign "
            "messages in the name of this site.",
            hint="Set NOTIFICATIONS['ENCRYPTION_KEYS'] and run manage.py rotate_encryption_keys, or silence "
            "klaxon.W015 if the database is protected otherwise.",
            id="klaxon.W015",
        )


def _is_built_in() -> bool:
    try:
        return has_subscribers(CHANNEL)
    except (ImportError, AttributeError):
        return False  # E006 reports it


def _find_faults(event: NotificationEvent) -> Iterator[tuple[str, str]]:
    others = f"Remove {CHANNEL!r} from it. Endpoints get each notification of an event with the channel {CHANNEL!r}."
    if event.sensitive and CHANNEL in event.channels:
        yield (
            "is sensitive, so no endpoint ever gets it: an endpoint cannot log in to see its content.",
            f"Remove {CHANNEL!r} from its supported_channels, or send another event, without secrets, to endpoints.",
        )
    if CHANNEL in event.preferred:
        yield f"names {CHANNEL!r} in prefer, but that channel does not reach the recipients of a call.", others
    if CHANNEL in {*event.fallback, *event.fallback.values()}:
        yield f"names {CHANNEL!r} in fallback, but that channel does not reach the recipients of a call.", others
