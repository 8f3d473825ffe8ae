"""What a host adds to a digest beside the notifications: ``DIGEST_SECTIONS``."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils.module_loading import import_string

from notifications import conf
from notifications.digests.gathering import Gathering
from notifications.models import Notification

logger = logging.getLogger("notifications.digests")

SPAN: Mapping[str, timedelta] = {
    Notification.Gathers.DAILY: timedelta(days=1),
    Notification.Gathers.WEEKLY: timedelta(days=7),
}


@dataclass(frozen=True)
class Section:
    """A part of a digest that a host provides: a heading, and lines of plain text."""

    title: str
    lines: Sequence[str] = ()


def sections_for(gatherings: Sequence[Gathering], using: str, now: datetime) -> dict[int, list[dict[str, Any]]]:
    """The host's sections by the id of a gathering: one call for each cluster and kind of digest."""
    found: dict[int, list[dict[str, Any]]] = {}
    for (cluster, gathers), items in _by_kind(gatherings).items():
        given = provided(cluster, [item.person.user for item in items], gathers, now, using)
        found |= {id(item): given.get(item.person.user.pk, []) for item in items}
    return found


def _by_kind(gatherings: Sequence[Gathering]) -> dict[tuple[Any, Any], list[Gathering]]:
    found: defaultdict[tuple[Any, Any], list[Gathering]] = defaultdict(list)
    for item in gatherings:
        if item.gathers in SPAN and item.person.user is not None:
            found[item.going[0].notification.cluster, item.gathers].append(item)
    return found


def provided(
    cluster: Any, users: Sequence[Any], gathers: str, now: datetime, using: str
) -> Mapping[Any, list[dict[str, Any]]]:
    """What the host has for these users, by primary key; nothing if it has no such function, or a broken one."""
    path = conf.current().digest_sections
    if not path:
        return {}
    try:
        with transaction.atomic(using=using):
            given = import_string(path)(cluster, users, gathers, now - SPAN[gathers], now)
            return {pk: [_plain(section) for section in sections] for pk, sections in given.items()}
    except DatabaseError:
        raise
    except Exception:
        # A mistake in the host's function costs its sections, never the notifications of a day.
        logger.exception("DIGEST_SECTIONS failed; these digests go out without its sections.")
        return {}


def _plain(section: Section) -> dict[str, Any]:
    return {"title": str(section.title), "lines": [str(line) for line in section.lines]}
