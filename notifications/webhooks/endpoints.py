"""Create and change webhook endpoints. The callers check permissions."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from notifications import conf
from notifications.channels import create_channel
from notifications.channels.standard_webhooks import check_secret, get_public_key, make_secret
from notifications.channels.webhook import CHANNEL, UNSUBSCRIBABLE, WebhookChannel
from notifications.conf import get_channel_class
from notifications.context import UNSTORABLE
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, key_of
from notifications.exceptions import ChannelNotConfigured, InvalidOption
from notifications.models import WebhookEndpoint, cluster_or_default
from notifications.models.webhook_endpoint import DESCRIPTION_LENGTH, reveal_secret, seal_secret

ALL_EVENTS = "*"
MAX_ENDPOINTS = 100
"""The endpoints of one cluster. Each gets every notification, so their number limits what a ``send()`` writes."""
KNOWN_URL = _("There is an endpoint with this URL already. Change that one.")
OVERLAP = timedelta(days=1)
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True)
class CreatedEndpoint:
    """A new endpoint, or one with a new secret.

    :param secret: what its receiver verifies signatures with: the shared secret of ``v1``, which cannot be read again,
        or the public key of ``v1a``.
    """

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


def get_channel() -> WebhookChannel:
    """Return the webhook channel with the options of the site.

    :raises ChannelNotConfigured: if the site does not have it.
    """
    channel = create_channel(CHANNEL)
    if not isinstance(channel, WebhookChannel):
        raise ChannelNotConfigured(
            f"NOTIFICATIONS['CHANNELS'][{CHANNEL!r}] has a BACKEND of its own, so there are no endpoints to manage. "
            "Remove BACKEND to use Klaxon's webhooks."
        )
    return channel


def has_webhooks() -> bool:
    """Return whether the site has the webhook channel, so that there are endpoints to manage."""
    return CHANNEL in conf.current().enabled_channels and issubclass(get_channel_class(CHANNEL), WebhookChannel)


def list_events() -> list[NotificationEvent]:
    """Return the events that endpoints can subscribe to: those with the channel ``webhook``, ordered by name."""
    found = {event.name: event for event in NOTIFICATION_EVENTS.values() if CHANNEL in event.channels}
    return [found[name] for name in sorted(found) if name not in UNSUBSCRIBABLE]


@sensitive_variables()
def create_endpoint(
    cluster: Any,
    url: str,
    *,
    owner: Any = None,
    description: str = "",
    events: Iterable[Enum | str] = (),
    kind: str = WebhookEndpoint.Kind.V1,
    secret: str = "",
) -> CreatedEndpoint:
    """Add an endpoint to a cluster and return it with its secret.

    :param cluster: None for the default cluster.
    :param owner: the user who is informed if the endpoint is disabled.
    :param events: the events to subscribe to; empty or ``*`` for all.
    :param kind: ``v1`` or ``v1a``.
    :param secret: a secret to continue with, ``whsec_…`` or ``whsk_…``; by default, a new one.
    :raises AddressForbidden: if the URL leads to an address that the site does not allow.
    :raises InvalidOption: if another value is invalid, the cluster has this URL already, or it has too many endpoints.
    :raises MissingExtra: if the extra ``webhooks`` is not installed.
    """
    cluster = cluster_or_default(cluster)
    if kind not in WebhookEndpoint.Kind.values:
        raise InvalidOption(f"kind must be one of {', '.join(WebhookEndpoint.Kind.values)}, not {kind!r:.20}.")
    values: dict[str, Any] = {
        "url": check_url(url),
        "description": _check_description(description),
        "events": check_events(events),
    }
    using = router.db_for_write(WebhookEndpoint)
    rows = WebhookEndpoint.objects.using(using)
    check_room(cluster, values["url"])
    secret = check_secret(kind, secret) if secret else make_secret(kind)
    shown = get_public_key(secret) or secret
    now = clock.now(using)
    with _refuse_known_url(using):
        endpoint = rows.create(
            cluster=cluster, owner=owner, kind=kind, secret=seal_secret(secret), created_at=now, **values
        )
    return CreatedEndpoint(endpoint, shown)


def update_endpoint(
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    description: str | None = None,
    events: Iterable[Enum | str] | None = None,
) -> WebhookEndpoint:
    """Change an endpoint. What is None stays.

    :raises AddressForbidden, InvalidOption: as for :func:`create_endpoint`.
    """
    changed: dict[str, Any] = {}
    if url is not None and url != endpoint.url:
        changed["url"] = check_url(url)
        # The new address has not failed yet.
        changed |= {"failing_since": None, "slowed_until": None, "slow_answers": 0}
    if description is not None:
        changed["description"] = _check_description(description)
    if events is not None:
        changed["events"] = check_events(events, endpoint.events)
    rows = _rows()
    if changed:
        with _refuse_known_url(rows.db):
            rows.filter(pk=endpoint.pk).update(**changed)
    return _read(endpoint)


def set_enabled(endpoint: WebhookEndpoint, enabled: bool) -> WebhookEndpoint:
    """Enable or disable an endpoint.

    What waits for a disabled endpoint ends as a dead letter, which :func:`replay_failed` sends after it is enabled
    again. New notifications are not queued for it.
    """
    set_all_enabled([endpoint.pk], enabled)
    return _read(endpoint)


def set_all_enabled(keys: Collection[int], enabled: bool) -> list[WebhookEndpoint]:
    """Enable or disable the endpoints with these keys, as :func:`set_enabled` does; return those that this changes."""
    rows = _rows().filter(pk__in=keys, enabled=not enabled)
    values: dict[str, Any] = {"disabled_at": clock.now(rows.db), "disabled_reason": WebhookEndpoint.Disabled.PERSON}
    if enabled:
        values = {"disabled_at": None, "disabled_reason": ""}
        values |= {"failing_since": None, "slowed_until": None, "slow_answers": 0}
    with transaction.atomic(using=rows.db):
        changed = list(rows.select_for_update().order_by("pk"))
        _rows().filter(pk__in=[row.pk for row in changed]).update(enabled=enabled, **values)
    return changed


def delete_endpoint(endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint with the log of its attempts. What waits for it ends as a dead letter."""
    _rows().filter(pk=endpoint.pk).delete()


@sensitive_variables()
def rotate_secret(endpoint: WebhookEndpoint, *, overlap: timedelta = OVERLAP, secret: str = "") -> CreatedEndpoint:
    """Give an endpoint a new secret. The old one signs too until the end of the overlap.

    :param overlap: how long; from 0 to 30 days. With 0, the old secret is worthless at once, as after a leak.
    :param secret: as for :func:`create_endpoint`.
    :raises InvalidOption: if the secret before the present one still signs, because its receiver would be cut off, or
        if a value is invalid.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise InvalidOption(f"overlap must be a timedelta from 0 to {MAX_OVERLAP.days} days.")
    kind = endpoint.kind
    secret = check_secret(kind, secret) if secret else make_secret(kind)
    shown = get_public_key(secret) or secret
    rows = _rows().filter(pk=endpoint.pk)
    now = clock.now(rows.db)
    # Of two rotations at the same time, only one finds the secret that it has read.
    current = rows.values_list("secret", flat=True).first()
    is_over = Q(previous_until=None) | Q(previous_until__lte=now)
    unchanged = rows.filter(secret=current) if overlap == timedelta() else rows.filter(is_over, secret=current)
    if current is None or not unchanged.update(
        secret=seal_secret(secret),
        previous_secret=seal_secret(reveal_secret(current)) if overlap else "",
        previous_until=now + overlap if overlap else None,
    ):
        raise InvalidOption(
            _(
                "The secret was rotated already, and the one before it is still valid. Wait until the receiver uses "
                "the new secret and the overlap has ended, or rotate without an overlap."
            )
        )
    return CreatedEndpoint(_read(endpoint), shown)


def check_url(url: str) -> str:
    """Return a URL in the form in which it is requested. Its host is resolved.

    :raises AddressForbidden: if the site does not send to it.
    """
    channel = get_channel()
    return channel.check_url(url)


def check_events(events: Iterable[Enum | str], known: Iterable[str] = ()) -> list[str]:
    """Return the names of events; empty for all.

    :param known: names that may stay, although no event has them any more.
    :raises InvalidOption: if the site has no such event with the channel ``webhook``.
    """
    if isinstance(events, str | Enum) or not isinstance(events, Iterable):
        raise InvalidOption(f"events must be a list of events, not {events!r:.80}.")
    names = list(dict.fromkeys(key_of(name) for name in events))
    if ALL_EVENTS in names:
        return []
    by_key = {key_of(event.name): event.name for event in list_events()}
    allowed = {**{key_of(name): name for name in known}, **by_key}
    for name in names:
        if name not in allowed:
            listed = ", ".join(sorted(by_key.values())[:20]) or "none"
            raise InvalidOption(f"There is no event {name!a:.80} with the channel {CHANNEL!r}. There are: {listed}.")
    return [allowed[name] for name in names]


def _check_description(description: str) -> str:
    if not isinstance(description, str) or len(description) > DESCRIPTION_LENGTH or UNSTORABLE.search(description):
        raise InvalidOption(
            format_lazy(_("A description has at most {number} plain characters."), number=DESCRIPTION_LENGTH)
        )
    return description.strip()


def check_room(cluster: Any, url: str, endpoint: WebhookEndpoint | None = None) -> None:
    """Check that a cluster can have one more endpoint, or an endpoint another URL.

    :raises InvalidOption: if it has too many, or one with this URL.
    """
    others = _rows().filter(cluster=cluster)
    if endpoint is not None:
        others = others.exclude(pk=endpoint.pk)
    if others.filter(url=url).exists():
        raise InvalidOption(KNOWN_URL)
    if endpoint is None and others.count() >= MAX_ENDPOINTS:
        text = _("There can be {number} endpoints at most. Delete one that is not used any more.")
        raise InvalidOption(format_lazy(text, number=MAX_ENDPOINTS))


@contextmanager
def _refuse_known_url(using: str) -> Iterator[None]:
    """Write an endpoint in a transaction.

    :raises InvalidOption: if the cluster has an endpoint with the same URL.
    """
    try:
        with transaction.atomic(using=using):
            yield
    except IntegrityError as error:
        raise InvalidOption(KNOWN_URL) from error


def _rows() -> Any:
    return WebhookEndpoint.objects.using(router.db_for_write(WebhookEndpoint))


def _read(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    found: WebhookEndpoint | None = _rows().filter(pk=endpoint.pk).first()
    if found is None:
        raise InvalidOption(format_lazy(_("The endpoint {name} was deleted."), name=endpoint.uid))
    return found
