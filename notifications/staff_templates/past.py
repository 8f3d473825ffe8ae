"""Past notifications of an event, whose contexts show whether a template works."""

from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from notifications.context import encoded
from notifications.delivering.rendering.templates import Locale
from notifications.events import NotificationEvent
from notifications.models import Delivery, Notification, StaffTemplate, cluster_or_default
from notifications.staff_templates.cage.pool import Job, Source
from notifications.staff_templates.rendering import build_job_variables
from notifications.staff_templates.samples import make_sample

MAX_CONTEXTS = 20
"""How many past notifications a new version is rendered with before it is published."""
SEARCHED_ROWS = 50_000
"""Only so many of the newest notifications of the site are searched, because the table has no index by event."""


@dataclass(frozen=True)
class PastContext:
    """A past notification with one of its recipients, or an invented one if there is none.

    :param user: the recipient; None if the recipient has no account.
    :param variant: the variant of the event's A/B test; empty for the first one, if there is a test.
    """

    notification: Notification
    user: Any
    variant: str = ""

    @property
    def is_sample(self) -> bool:
        return self.notification.pk is None

    def __str__(self) -> str:
        if self.is_sample:
            text = _("A message with sample values")
        else:
            values = {
                "number": self.notification.pk,
                "time": f"{timezone.localtime(self.notification.created_at):%Y-%m-%d %H:%M}",
            }
            text = _("Notification %(number)s of %(time)s") % values
        if not self.variant:
            return text
        return _("%(message)s, variant %(variant)s") % {"message": text, "variant": self.variant}

    def build_job(self, source: Source, event: NotificationEvent, channel: str, locale: Locale) -> Job:
        """Return the job that renders its message, as the worker does."""
        variant = self.variant or next(iter(event.variants or ()), "")
        return Job(source, *build_job_variables(event, channel, self.notification, self.user, locale, variant))

    def expand(self, event: NotificationEvent) -> list["PastContext"]:
        """Return the context once for each variant of the event's A/B test."""
        return [replace(self, variant=name) for name in event.variants or ("",)]


def load_past_contexts(template: StaffTemplate, using: str, limit: int = MAX_CONTEXTS) -> list[PastContext]:
    """Return the newest notifications of the template's event, in its cluster if it has one.

    It takes three queries.
    """
    rows = Notification.objects.using(using)
    newest = rows.aggregate(Max("pk"))["pk__max"] or 0
    found = rows.filter(event=template.event, digest_kind="", pk__gt=newest - SEARCHED_ROWS)
    if template.cluster_id is not None:
        found = found.filter(cluster=template.cluster_id)
    # Without an order, the database uses the index by notification.
    one_delivery = Delivery.objects.using(using).filter(notification=OuterRef("pk")).order_by().values("pk")[:1]
    notifications = list(found.select_related("cluster").annotate(one=Subquery(one_delivery)).order_by("-pk")[:limit])
    ids = [row.one for row in notifications if row.one]
    deliveries = Delivery.objects.using(using).select_related("recipient").in_bulk(ids)
    users = {pk: delivery.recipient for pk, delivery in deliveries.items()}
    # Nobody but its recipients may see the context of a sensitive event.
    return [PastContext(row, users.get(row.one)) for row in notifications if not row.is_sensitive]


def get_sample_context(template: StaffTemplate, event: NotificationEvent, user: Any) -> PastContext | None:
    """Return a message with an invented value for each declared one; None if the event declares no context.

    :param user: the person who gets it.
    """
    if event.context is None:
        return None
    values = {name: make_sample(kind, name) for name, kind in event.context.items()}
    cluster = template.cluster or cluster_or_default(None)
    notification = Notification(event=event.name, cluster=cluster, priority=event.priority, context=encoded(values))
    return PastContext(notification, user)


def make_sample_user() -> Any:
    """Return a user with invented values who is not saved."""
    user = get_user_model()()
    for name in (user.USERNAME_FIELD, "first_name", "last_name"):
        if hasattr(user, name):
            setattr(user, name, name)
    return user


def get_site_locale(template: StaffTemplate) -> Locale:
    """Return the language of the template, or else that of the site, and the time zone of the site."""
    return template.language or settings.LANGUAGE_CODE.lower(), settings.TIME_ZONE
