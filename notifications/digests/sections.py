"""The sections that a host adds to digests, with ``DIGEST_SECTIONS``."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from django.utils.module_loading import import_string

from notifications import conf
from notifications.context import encoded
from notifications.delivering.rendering import get_locale, use_locale
from notifications.delivering.rendering.digest_history import PERIODS
from notifications.digests.grouping import get_digest_kind
from notifications.models import Delivery, get_cluster_model
from notifications.sending.gates import Person, load_people

logger = logging.getLogger("notifications.digests")

StoredSections = dict[tuple[Any, Any], list[Any]]
"""Sections as they are stored, by the primary keys of the cluster and the user."""


@dataclass(frozen=True)
class Section:
    """A part of a digest that a host adds: a heading and lines of plain text, which may be translatable."""

    title: str
    lines: Sequence[str] = ()


def load_sections(recipient_keys: Sequence[str], using: str, now: datetime) -> StoredSections:
    """Return the sections of those of these recipients whose digest is due."""
    if not conf.current().digest_sections:
        return {}
    due = Delivery.objects.using(using).recipients_due_for_digest(now)
    due = due.filter(recipient_key__in=recipient_keys, reason="digest")
    by_cluster: defaultdict[Any, set[Any]] = defaultdict(set)
    for cluster_id, user_id in due.values_list("notification__cluster_id", "recipient_id").distinct():
        by_cluster[cluster_id].add(user_id)
    clusters = get_cluster_model()._default_manager.using(using).in_bulk(by_cluster)
    sections: StoredSections = {}
    for pk, cluster in clusters.items():
        sections |= load_cluster_sections(cluster, load_people(cluster, by_cluster[pk] - {None}).values(), now, using)
    return sections


def load_cluster_sections(cluster: Any, persons: Iterable[Person], now: datetime, using: str) -> StoredSections:
    """Return the sections of the active members. Calls the host's function once for each kind of digest."""
    by_kind: defaultdict[str, list[Person]] = defaultdict(list)
    for person in persons:
        if person.is_member and person.user is not None and person.user.is_active:
            by_kind[get_digest_kind(person)].append(person)
    return {
        (cluster.pk, person.user.pk): sections
        for kind, members in by_kind.items()
        for person, sections in _yield_sections(cluster, members, kind, now, using)
    }


def _yield_sections(
    cluster: Any, persons: Sequence[Person], kind: str, now: datetime, using: str
) -> Iterable[tuple[Person, list[Any]]]:
    provided = _call_host_function(cluster, [person.user for person in persons], kind, now, using)
    for person in persons:
        if sections := _serialize_sections(provided.get(person.user.pk), person):
            yield person, sections


def _call_host_function(cluster: Any, users: Sequence[Any], kind: str, now: datetime, using: str) -> Mapping[Any, Any]:
    # On SQLite a transaction would block all other writers while the host's function runs.
    is_in_transaction = connections[using].in_atomic_block
    try:
        with transaction.atomic(using=using) if is_in_transaction else nullcontext():
            function = import_string(conf.current().digest_sections)
            return dict(function(cluster, users, kind, now - PERIODS[kind], now) or {})
    except Exception:
        # An error in the host's function must not lose the notifications of a day.
        logger.exception("The function of DIGEST_SECTIONS failed. These digests are sent without its sections.")
        return {}


def _serialize_sections(sections: Any, person: Person) -> list[Any]:
    """Return the sections as they are stored, in the recipient's language."""
    try:
        with use_locale(get_locale(person.settings)):
            stored: list[Any] = encoded([_serialize_section(section) for section in sections or ()], "sections")
            return stored
    except Exception:
        # An error in the sections of one user must not lose those of others.
        logger.exception("The function of DIGEST_SECTIONS returned no list of sections for %s.", person.key)
        return []


def _serialize_section(section: Section) -> dict[str, Any]:
    lines = [section.lines] if isinstance(section.lines, str) else section.lines
    return {"title": str(section.title), "lines": [str(line) for line in lines]}
