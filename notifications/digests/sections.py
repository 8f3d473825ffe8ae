"""What a host adds to a digest beside the notifications: ``DIGEST_SECTIONS``."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.utils.module_loading import import_string

from notifications import conf
from notifications.context import encoded
from notifications.delivering.rendering import locale_of
from notifications.delivering.rendering.locales import speaking
from notifications.digests.grouping import kind_for
from notifications.models import Delivery, Notification, cluster_model
from notifications.sending.gates import Person, load_people

logger = logging.getLogger("notifications.digests")

SPAN: Mapping[str, timedelta] = {
    Notification.Gathers.DAILY: timedelta(days=1),
    Notification.Gathers.WEEKLY: timedelta(days=7),
}
Plain = dict[tuple[Any, Any], list[Any]]
"""Sections as they are stored, by the keys of a cluster and of a user."""


@dataclass(frozen=True)
class Section:
    """A part of a digest that a host provides: a heading, and lines of plain text; translatable ones, if it likes."""

    title: str
    lines: Sequence[str] = ()


def sections_of_due(recipient_keys: Sequence[str], using: str, now: datetime) -> Plain:
    """For those of these recipients whose digest is due."""
    if not conf.current().digest_sections:
        return {}
    due = Delivery.objects.using(using).recipients_due_for_digest(now)
    due = due.filter(recipient_key__in=recipient_keys, reason="digest")
    by_cluster: defaultdict[Any, set[Any]] = defaultdict(set)
    for cluster_id, user_id in due.values_list("notification__cluster_id", "recipient_id").distinct():
        by_cluster[cluster_id].add(user_id)
    clusters = cluster_model()._default_manager.using(using).in_bulk(by_cluster)
    found: Plain = {}
    for pk, cluster in clusters.items():
        found |= sections_for(cluster, load_people(cluster, by_cluster[pk] - {None}).values(), now, using)
    return found


def sections_for(cluster: Any, persons: Iterable[Person], now: datetime, using: str) -> Plain:
    """For active members of the cluster: one call of the host's function for each kind of digest."""
    by_kind: defaultdict[str, list[Person]] = defaultdict(list)
    for person in persons:
        if person.is_member and person.user is not None and person.user.is_active:
            by_kind[kind_for(person)].append(person)
    return {
        (cluster.pk, person.user.pk): sections
        for kind, alike in by_kind.items()
        for person, sections in _provided(cluster, alike, kind, now, using)
    }


def _provided(
    cluster: Any, persons: Sequence[Person], kind: str, now: datetime, using: str
) -> Iterable[tuple[Person, list[Any]]]:
    given = _asked(cluster, [person.user for person in persons], kind, now, using)
    for person in persons:
        if sections := _plain(given.get(person.user.pk), person):
            yield person, sections


def _asked(cluster: Any, users: Sequence[Any], kind: str, now: datetime, using: str) -> Mapping[Any, Any]:
    # On SQLite a transaction of its own would keep every other writer waiting for the host's function.
    inside = connections[using].in_atomic_block
    try:
        with transaction.atomic(using=using) if inside else nullcontext():
            function = import_string(conf.current().digest_sections)
            return dict(function(cluster, users, kind, now - SPAN[kind], now) or {})
    except Exception:
        # A mistake in the host's function costs its sections, never the notifications of a day.
        logger.exception("DIGEST_SECTIONS failed; these digests go out without its sections.")
        return {}


def _plain(sections: Any, person: Person) -> list[Any]:
    """As stored, in the words of the recipient."""
    try:
        with speaking(locale_of(person.settings)):
            plain: list[Any] = encoded([_lines(section) for section in sections or ()], "sections")
            return plain
    except Exception:
        # One user's sections cost nobody else theirs.
        logger.exception("DIGEST_SECTIONS gave %s something that is no list of sections.", person.key)
        return []


def _lines(section: Section) -> dict[str, Any]:
    lines = [section.lines] if isinstance(section.lines, str) else section.lines
    return {"title": str(section.title), "lines": [str(line) for line in lines]}
