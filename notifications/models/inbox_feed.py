"""Feeds: the revision of each user's inbox.

A revision is a cursor in the order of the commits. Each transaction that adds or changes inbox items of a user first
increases the user's revision, and writes it into these items. The feed stays locked until the transaction ends, so the
revisions of one user are committed in their order: whoever has seen revision 7 misses nothing by asking for later ones.
The ids of items cannot be used for that, because a transaction can commit a lower id after a higher one.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models, router
from django.utils.translation import gettext_lazy as _

from notifications import signals
from notifications.core.databases import get_current_partition
from notifications.storage import inbox_feed


class InboxFeedQuerySet(models.QuerySet["InboxFeed"]):
    def advance(self, user_ids: Iterable[Any]) -> dict[Any, int]:
        """Increase the revisions of these users, and send ``inbox_changed``. Return the new revisions by user.

        Call it once in a transaction, before the items are changed.
        """
        using = getattr(self, "_db", None) or router.db_for_write(self.model)
        revisions = inbox_feed.advance(using, user_ids)
        if revisions:
            signals.inbox_changed.send(
                sender=self.model, partition=get_current_partition(), user_ids=tuple(revisions), using=using
            )
        return revisions


class InboxFeed(models.Model):
    """The revision of a user's inbox. Users without a row have revision 0."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
    )
    revision = models.BigIntegerField(_("revision"), default=0)

    objects = InboxFeedQuerySet.as_manager()

    class Meta:
        verbose_name = _("inbox feed")
        verbose_name_plural = _("inbox feeds")

    def __str__(self) -> str:
        return f"{self.user_id}: {self.revision}"
