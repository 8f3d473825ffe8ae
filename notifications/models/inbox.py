"""Inbox items: what users see in the app. They keep their own text and remain when the notification is deleted.

Every change is a method of :class:`InboxQuerySet`, which also gives the changed items a new revision, so that open
pages learn of it; see :mod:`notifications.models.inbox_feed`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connections, models, router, transaction
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from notifications.core.encryption import decrypt, encrypt
from notifications.events import NotificationPriority
from notifications.models.delivery import Delivery
from notifications.models.inbox_feed import InboxFeed
from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.storage.engine import array_subquery, get_engine

TITLE_LENGTH = 255
NAME_LENGTH = 150
GROUP_KEY_LENGTH = 200
# As long as the URLs that all browsers accept.
URL_LENGTH = 2000
ICON_LENGTH = 200
WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 10
# As it is in the partial indexes.
IS_UNREAD = Q(read_at__isnull=True, archived_at__isnull=True)


def list_words(text: str) -> list[str]:
    """Return the words of a search."""
    return WORD.findall(text)[:MAX_WORDS]


class InboxQuerySet(models.QuerySet["InboxItem"]):
    def of(self, user: Any) -> "InboxQuerySet":
        """Return the items of a user."""
        return self.filter(recipient=user)

    def unread(self) -> "InboxQuerySet":
        """Return the items that are not marked as read."""
        return self.filter(read_at__isnull=True)

    def listed(self, now: datetime) -> "InboxQuerySet":
        """Return the items that are neither archived nor snoozed."""
        return self.filter(Q(snoozed_until__isnull=True) | Q(snoozed_until__lte=now), archived_at__isnull=True)

    def archived(self) -> "InboxQuerySet":
        return self.filter(archived_at__isnull=False)

    def snoozed(self, now: datetime) -> "InboxQuerySet":
        """Return the items that are snoozed until a later time."""
        return self.filter(snoozed_until__gt=now, archived_at__isnull=True)

    def search(self, text: str, user: Any) -> "InboxQuerySet":
        """Return the items of a user whose title or body contains words that begin with those of the text.

        The content of sensitive events is encrypted and cannot be found. Without letters and digits in the text, there
        are no results.
        """
        words = list_words(text)
        if not words:
            return self.none()
        key: Any = self.model._meta.get_field("recipient")
        owner = key.target_field.get_db_prep_value(user.pk, connections[self.db])
        condition, values = get_engine(self.db).match_inbox_text(words, owner)
        found: Any = self.of(user).extra(where=[condition], params=values)  # noqa: S610 - constant SQL
        return found

    def scan(self, text: str) -> "InboxQuerySet":
        """Return the same items as :meth:`search`, for a queryset of few items: each is read, and no index."""
        words = list_words(text)
        if not words:
            return self.none()
        condition, values = get_engine(self.db).match_inbox_row(words)
        found: Any = self.extra(where=[condition], params=values)  # noqa: S610 - constant SQL
        return found

    def sort_by_frequency(self, text: str) -> list[str]:
        """Return the words of a text, those first that the fewest of these items contain.

        It takes one query, or none for one word.
        """
        words = list_words(text)
        if len(words) < 2:
            return words
        numbers = self.order_by().aggregate(**{f"word_{at}": _count(word, self.db) for at, word in enumerate(words)})
        return [word for _, word in sorted(zip(numbers.values(), words, strict=True))]

    def mark_seen(self, now: datetime) -> int:
        """Mark the items that the user has not seen before as seen, for example in a list; return their number."""
        return self.filter(seen_at__isnull=True)._change(seen_at=now)

    def mark_read(self, now: datetime) -> int:
        """Mark the unread items as read and return their number."""
        return self.unread()._change(read_at=now, seen_at=Coalesce(F("seen_at"), now))

    def mark_unread(self) -> int:
        """Mark the items that are read as unread again and return their number."""
        return self.filter(read_at__isnull=False)._change(read_at=None)

    def archive(self, now: datetime) -> int:
        """Archive items, which also ends their snoozing; return the number of those that were not archived."""
        return self.filter(archived_at__isnull=True)._change(archived_at=now, snoozed_until=None)

    def unarchive(self) -> int:
        """Put archived items back into the list and return their number."""
        return self.archived()._change(archived_at=None)

    def snooze(self, until: datetime, now: datetime) -> int:
        """Hide items that are not archived until a time, when they are unread again; return their number.

        :raises ValueError: if the time is not in the future.
        """
        if until <= now:
            raise ValueError(f"An item can only be snoozed until a time in the future, not until {until}.")
        return self.filter(archived_at__isnull=True)._change(snoozed_until=until, read_at=None, seen_at=None)

    def unsnooze(self, seen_at: datetime | None = None) -> int:
        """Put snoozed items back into the list and return their number.

        :param seen_at: the time, if the user does it. Otherwise the items are new to the user.
        """
        values = {} if seen_at is None else {"seen_at": Coalesce(F("seen_at"), seen_at)}
        return self.filter(snoozed_until__isnull=False)._change(snoozed_until=None, **values)

    def wake_snoozed(self, now: datetime, limit: int = 1000) -> int:
        """Put at most ``limit`` items whose time has come back into the list, the longest due first.

        They are listed at that time even without this call, which lets open pages know. Returns their number.
        """
        due = self.filter(snoozed_until__lte=now).order_by("snoozed_until")
        ids = list(due.values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=ids).unsnooze() if ids else 0

    def add_items(self, items: Iterable["InboxItem"]) -> None:
        """Save new items; if a delivery already has an item, that item stays unchanged."""
        rows = list(items)
        with transaction.atomic(using=self._write_db, savepoint=False):
            revisions = self._advance({row.recipient_id for row in rows})
            for row in rows:
                row.revision = revisions[row.recipient_id]
            self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]

    def discard(self, keys: Iterable[int]) -> int:
        """Delete the items with these keys, and let open pages know; return their number."""
        using = self._write_db
        items = self.using(using).filter(pk__in=list(keys)).order_by()
        with transaction.atomic(using=using):
            user_ids = list(items.values_list("recipient", flat=True).distinct())
            if not user_ids:
                return 0
            self._advance(user_ids)
            return items.delete()[0]

    def _change(self, **values: Any) -> int:
        """Change the items with these values and give them a new revision; return their number."""
        using = self._write_db
        items = self.using(using).order_by()
        with transaction.atomic(using=using):
            # An item of another user that is added after this statement is not locked and not changed.
            user_ids = list(items.values_list("recipient", flat=True).distinct())
            if not user_ids:
                return 0
            revisions = self._advance(user_ids)
            users = array_subquery(user_ids, InboxItem._meta.get_field("recipient").target_field, using)
            return items.filter(recipient__in=users).update(**values, revision=_revision_of(revisions))

    def _advance(self, user_ids: Iterable[Any]) -> dict[Any, int]:
        return InboxFeed.objects.using(self._write_db).advance(user_ids)

    @property
    def _write_db(self) -> str:
        chosen: str | None = getattr(self, "_db", None)
        return chosen or router.db_for_write(self.model)


def _count(word: str, using: str) -> Count:
    """Return the number of items that contain a word, for ``aggregate()``."""
    condition, values = get_engine(using).match_inbox_row([word])
    return Count("pk", filter=RawSQL(condition, values, models.BooleanField()))  # noqa: S611 - constant SQL


def _revision_of(revisions: Mapping[Any, int]) -> Any:
    """Return the revision that an item gets: that of its recipient."""
    if len(revisions) == 1:
        return next(iter(revisions.values()))
    return Subquery(InboxFeed.objects.filter(pk=OuterRef("recipient_id")).values("revision"))


class InboxItem(models.Model):
    """A notification as a user sees it, in that user's language."""

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    # Several indexes begin with it.
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("recipient"),
        on_delete=models.CASCADE,
        related_name="inbox_items",
        db_index=False,
    )
    delivery = models.OneToOneField(
        Delivery,
        verbose_name=_("delivery"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    event = models.CharField(_("event"), max_length=100)
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=[(item.value, item.name.lower()) for item in NotificationPriority]
    )
    topic = models.CharField(_("topic"), max_length=200, blank=True)
    title = models.CharField(_("title"), max_length=TITLE_LENGTH)
    body = models.TextField(_("body"), blank=True)
    # A token with the title and the body, if the event is sensitive. Then title is the name of the event for users.
    encrypted = models.TextField(_("encrypted content"), blank=True, default="", editable=False)
    url = models.CharField(_("URL"), max_length=URL_LENGTH, blank=True, default="")
    icon = models.CharField(_("icon"), max_length=ICON_LENGTH, blank=True, default="")
    actor = UnconstrainedForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("actor"), null=True, blank=True, db_index=False
    )
    # It stays when the actor is deleted.
    actor_name = models.CharField(_("name of the actor"), max_length=NAME_LENGTH, blank=True, default="")
    group_key = models.CharField(_("group key"), max_length=GROUP_KEY_LENGTH, blank=True, default="")
    # The names of the actions that the event offers in this context, see notifications.events.InboxAction.
    actions = models.JSONField(_("actions"), default=list, blank=True)
    # The name of the action that the user has taken, and when.
    action_taken = models.CharField(_("action taken"), max_length=50, blank=True, default="")
    acted_at = models.DateTimeField(_("acted at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"))
    seen_at = models.DateTimeField(_("seen at"), null=True, blank=True)
    read_at = models.DateTimeField(_("read at"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived at"), null=True, blank=True)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    revision = models.BigIntegerField(_("revision"), default=0, editable=False)

    objects = InboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("inbox item")
        verbose_name_plural = _("inbox items")
        ordering = ("-created_at", "-id")
        # SQLite uses a partial index only if the query contains its condition as literals, and IS NULL is one.
        indexes = [
            models.Index(
                # The last columns are what pages filter by, so that few of the items are read that do not match.
                fields=["recipient", "-created_at", "-id", "event", "topic", "cluster", "priority", "snoozed_until"],
                condition=Q(archived_at__isnull=True),
                name="klaxon_inbox_newest",
            ),
            # Unread items are listed and counted by the index alone.
            models.Index(
                fields=["recipient", "-created_at", "-id", "cluster", "priority", "snoozed_until"],
                condition=IS_UNREAD,
                name="klaxon_inbox_unread",
            ),
            models.Index(
                fields=["recipient", "-created_at", "-id"],
                condition=Q(archived_at__isnull=False),
                name="klaxon_inbox_archived",
            ),
            models.Index(
                fields=["recipient", "snoozed_until"],
                condition=Q(snoozed_until__isnull=False),
                name="klaxon_inbox_snoozed",
            ),
            models.Index(fields=["snoozed_until"], condition=Q(snoozed_until__isnull=False), name="klaxon_inbox_wake"),
            models.Index(fields=["recipient", "cluster", "-created_at", "-id"], name="klaxon_inbox_cluster"),
            models.Index(fields=["recipient", "revision", "id"], name="klaxon_inbox_revision"),
        ]

    def __str__(self) -> str:
        return self.title

    def encrypt(self, label: str) -> None:
        """Replace title and body by a token, and the title by a label that everybody may read.

        :raises EncryptionUnavailable, MissingExtra: if this site cannot encrypt.
        """
        self.encrypted = encrypt(json.dumps([self.title, self.body]))
        self.title, self.body = label[:TITLE_LENGTH], ""

    def reveal(self) -> tuple[str, str]:
        """Return title and body, decrypted if they are encrypted.

        :raises DecryptionFailed, MissingExtra: if this site cannot decrypt them.
        """
        if not self.encrypted:
            return self.title, self.body
        title, body = json.loads(decrypt(self.encrypted))
        return title, body
