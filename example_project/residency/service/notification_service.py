"""A class that schedules any notification and stores a user's preferences."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from example_project.residency.service.preferences import UNCHANGED, update_preferences
from notifications.models import Cluster, UserSettings
from notifications.outcomes import SendResult


class NotificationService:
    """The notification service of the programme.

    :param db: the alias of the database that contains the users.
    :param program: only needed for users who belong to several programmes.
    """

    def __init__(self, db: str = DEFAULT_DB_ALIAS, program: Cluster | None = None) -> None:
        self.where: Where = {"db": db, "program": program}

    def schedule_notification(
        self, *, recipient_id: int, notification_type: ResidencyEvents, data: Mapping[str, Any], send_at: datetime
    ) -> SendResult:
        """Send at this time. The notification does not wait for a batch after it.

        :param send_at: a naive datetime is in UTC, as ``datetime.utcnow()`` returns it.
        """
        at = timezone.make_aware(send_at, UTC) if timezone.is_naive(send_at) else send_at
        return send(notification_type, [recipient_id], data, send_at=at, **self.where)

    async def update_user_preferences(
        self,
        *,
        user_id: int,
        enabled_channels: Iterable[str] | None = None,
        notification_types: Mapping[ResidencyEvents | str, bool] | None = None,
        quiet_hours_start: int | None = UNCHANGED,
        quiet_hours_end: int | None = UNCHANGED,
    ) -> UserSettings:
        """Update preferences from async code; see :func:`update_preferences`."""
        return await sync_to_async(update_preferences)(
            user_id=user_id,
            enabled_channels=enabled_channels,
            notification_types=notification_types,
            quiet_hours_start=quiet_hours_start,
            quiet_hours_end=quiet_hours_end,
            **self.where,
        )
