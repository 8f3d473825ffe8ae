"""The steps of a purge. Each deletes old rows of one kind, a few in each call, in one short transaction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from django.contrib.auth import get_user_model
from django.db import models, router
from django.db.models import Exists, OuterRef

from notifications.models import AttachedFile, Delivery, Notification, NotificationLog, allow_log_changes
from notifications.monitoring.retention.archive import Archive
from notifications.storage import retention
from notifications.storage.engine import get_engine

PAGE = 200
FILES = 20
UNARCHIVED_AFTER = timedelta(days=2)
"""How long rows may be old enough before it is reported that they are not archived. Rows become old all the time, and
an archive is written once a day."""
PURPOSE = "purge"


class Batch(NamedTuple):
    """What one call of a step has done.

    :param deleted: the number of deleted rows.
    :param is_end: whether nothing is left to delete.
    """

    deleted: int
    is_end: bool


Row = tuple[int, datetime]
"""The key and the time of a row."""


class Step(Protocol):
    """Deletes rows of one kind."""

    name: str

    def delete(self, limit: int) -> Batch:
        """Delete at most about ``limit`` rows."""

    def count(self) -> int:
        """Return how many rows it would delete."""


@dataclass
class SimpleStep:
    """Deletes rows by one function, until it finds fewer than it may delete.

    :param run: deletes at most a number of rows, and returns how many it has deleted.
    """

    name: str
    run: Callable[[int], int]
    rows: models.QuerySet[Any] | None = None

    def delete(self, limit: int) -> Batch:
        deleted = self.run(limit)
        return Batch(deleted, not deleted)

    def count(self) -> int:
        return self.rows.count() if self.rows is not None else 0


@dataclass
class AgedStep:
    """Deletes old rows in the order of their keys, except those that something needs.

    :param read: returns the keys and times of the next rows after a row, the first of which is old; empty at the end.
    :param remove: deletes the rows with these keys that nothing needs; returns how many it has deleted.
    :param archived: returns whether the row with a key is archived.
    """

    name: str
    before: datetime
    read: Callable[[Row | None, int], list[Row]]
    remove: Callable[[list[int]], int]
    rows: models.QuerySet[Any]
    archived: Callable[[int], bool] = lambda pk: True
    after: Row | None = None
    unarchived: int = 0

    def delete(self, limit: int) -> Batch:
        found = self.read(self.after, limit)
        if not found:
            return Batch(0, True)
        self.after = found[-1]
        old = [(pk, time) for pk, time in found if time < self.before]
        keys = [pk for pk, _time in old if self.archived(pk)]
        kept = set(keys)
        self.unarchived += sum(pk not in kept and time < self.before - UNARCHIVED_AFTER for pk, time in old)
        return Batch(self.remove(keys) if keys else 0, False)

    def count(self) -> int:
        return self.rows.count()


@dataclass
class NotificationStep:
    """Deletes ended notifications, with their deliveries and everything else that is about them.

    :param archive: if it is not None, only what it contains is deleted.
    :param only_files: whether to delete only the attachments.
    """

    name: str
    using: str
    before: datetime
    archive: Archive | None = None
    only_files: bool = False
    after: int = 0
    unarchived: int = 0
    _ended: list[int] = field(default_factory=list)
    _is_last: bool = False

    def delete(self, limit: int) -> Batch:
        if not self._ended:
            self._read_page()
            return Batch(0, self._is_last and not self._ended)
        deleted = retention.delete_attachments(self.using, self._ended, min(limit, FILES))
        if not self.only_files:
            deleted = deleted or retention.delete_deliveries(self.using, self._ended, limit)
            deleted = deleted or retention.delete_notifications(self.using, self._take(limit))
        elif not deleted:
            self._ended = []
        return Batch(deleted, self._is_last and not self._ended)

    def count(self) -> int:
        if self.only_files:
            return sum(map(self._count_files, self.iterate_ended()))
        return sum(len(ended) + self._count_deliveries(ended) for ended in self.iterate_ended())

    def _count_files(self, ended: list[int]) -> int:
        return AttachedFile.objects.using(self.using).filter(notification__in=ended).count()

    def _count_deliveries(self, ended: list[int]) -> int:
        return Delivery.objects.using(self.using).filter(notification__in=ended).count()

    def iterate_ended(self, size: int = PAGE) -> Iterator[list[int]]:
        """Yield the ids of all ended notifications, without deleting any."""
        after, is_end = 0, False
        while not is_end:
            page = retention.read_page(self.using, after, size, self.before)
            after, is_end = page.last or after, page.is_end
            ended = retention.find_ended(self.using, page.old, self.before)
            if self.only_files:
                ended = _find_with_files(self.using, ended)
            yield ended

    def _read_page(self) -> None:
        page = retention.read_page(self.using, self.after, PAGE, self.before)
        self.after, self._is_last = page.last or self.after, page.is_end
        ended = retention.find_ended(self.using, page.old, self.before)
        if self.only_files:
            ended = _find_with_files(self.using, ended)
        if self.archive is not None:
            kept = [pk for pk in ended if not self.archive.contains("klaxon.notification", pk)]
            self.unarchived += len(retention.find_ended(self.using, kept, self.before - UNARCHIVED_AFTER))
            ended = sorted(set(ended) - set(kept))
        self._ended = ended

    def _take(self, limit: int) -> list[int]:
        taken, self._ended = self._ended[:limit], self._ended[limit:]
        return taken


def _find_with_files(using: str, ids: list[int]) -> list[int]:
    rows = Notification.objects.using(using)
    return list(rows.filter(pk__in=ids, attachment_bytes__gt=0).order_by("pk").values_list("pk", flat=True))


@dataclass
class LogStep:
    """Deletes old rows of the log.

    :param archive: if it is not None, only what it contains is deleted.
    """

    name: str
    using: str
    before: datetime
    archive: Archive | None = None
    after: datetime | None = None
    unarchived: int = 0

    def delete(self, limit: int) -> Batch:
        found = retention.find_log_rows(self.using, self.before, self.after, limit)
        if not found:
            return Batch(0, True)
        keys = [pk for pk, _time in found]
        if self.archive is not None:
            keys = [pk for pk in keys if self.archive.contains("klaxon.notificationlog", pk)]
            archived, limit_time = set(keys), self.before - UNARCHIVED_AFTER
            self.unarchived += sum(pk not in archived and time < limit_time for pk, time in found)
        if keys:
            with allow_log_changes(PURPOSE, self.using):
                retention.delete_log_keys(get_engine(self.using), keys)
        # Many rows can have the same time. If none of them is archived, the next call would find the same ones.
        is_stuck = not keys and (len(found) < limit or found[-1][1] == self.after)
        self.after = found[-1][1]
        return Batch(len(keys), is_stuck)

    def count(self) -> int:
        return NotificationLog.objects.using(self.using).filter(sent_at__lt=self.before).count()


@dataclass
class OrphanStep:
    """Deletes rows of users who no longer exist, as after a statement that bypassed Django. It reads the table once."""

    name: str
    model: Any
    after: Any = None

    def delete(self, limit: int) -> Batch:
        rows = self._rows()
        page = list(
            (rows if self.after is None else rows.filter(pk__gt=self.after)).values_list("pk", flat=True)[:limit]
        )
        if not page:
            return Batch(0, True)
        self.after = page[-1]
        keys = list(self._orphans().filter(pk__in=page).values_list("pk", flat=True))
        if keys:
            self._orphans().filter(pk__in=keys)._raw_delete(router.db_for_write(self.model))
        return Batch(len(keys), len(page) < limit)

    def count(self) -> int:
        return self._orphans().count()

    def _rows(self) -> Any:
        return models.QuerySet(self.model, using=router.db_for_write(self.model)).order_by("pk")

    def _orphans(self) -> Any:
        users = get_user_model()._base_manager.using(router.db_for_write(self.model)).filter(pk=OuterRef("user_id"))
        return self._rows().filter(~Exists(users))
