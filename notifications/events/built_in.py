"""The built-in events of Klaxon."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from django.utils.translation import gettext_lazy as _

from notifications.events.enums import NotificationChannel, NotificationPriority
from notifications.events.event import NotificationEvent, register


class BuiltInEvents(Enum):
    """The names of the built-in events."""

    MESSAGE = "message"
    CRITICAL_MESSAGE = "critical_message"
    DAILY_DIGEST = "daily_digest"
    WEEKLY_DIGEST = "weekly_digest"
    TEST_MESSAGE = "test_message"
    ADDRESS_CONFIRMATION = "address_confirmation"
    MAGIC_LINK = "magic_link"
    WEBHOOK_DISABLED = "webhook_disabled"
    SYSTEM_DEGRADED = "system_degraded"
    SYSTEM_RECOVERED = "system_recovered"


MESSAGE_CHANNELS = (
    NotificationChannel.APP,
    NotificationChannel.EMAIL,
    NotificationChannel.LOG,
    NotificationChannel.SLACK,
    NotificationChannel.DISCORD,
    NotificationChannel.TEAMS,
    NotificationChannel.PUSHOVER,
    "apprise",
)
"""The channels of free text, of which a site needs only some."""
for member, priority, label in (
    (BuiltInEvents.MESSAGE, NotificationPriority.MEDIUM, _("Message")),
    (BuiltInEvents.CRITICAL_MESSAGE, NotificationPriority.CRITICAL, _("Critical message")),
):
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=priority,
            supported_channels=MESSAGE_CHANNELS,
            context={"message": str, "title": str | None},
            label=label,
        ),
    )
DIGESTS: Mapping[str, BuiltInEvents] = {
    "daily": BuiltInEvents.DAILY_DIGEST,
    "weekly": BuiltInEvents.WEEKLY_DIGEST,
}
for member, label in ((DIGESTS["daily"], _("Daily digest")), (DIGESTS["weekly"], _("Weekly digest"))):
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=NotificationPriority.MEDIUM,
            supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
            context={"sections": list},
            label=label,
            category="digest",
            digest=False,
        ),
    )
# What people ask for on a page, to check a channel, to confirm an address or to get a link. Nobody can turn it off, and
# the limit protects addresses from people who ask too often.
ON_REQUEST = frozenset({BuiltInEvents.TEST_MESSAGE, BuiltInEvents.ADDRESS_CONFIRMATION, BuiltInEvents.MAGIC_LINK})
for member, label, context in (
    (BuiltInEvents.TEST_MESSAGE, _("Test message"), {}),
    (
        BuiltInEvents.ADDRESS_CONFIRMATION,
        _("Confirm your address"),
        {"title": str, "message": str, "action_url": str, "action_label": str},
    ),
):
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=NotificationPriority.HIGH,
            supported_channels=[
                *(channel for channel in NotificationChannel if channel is not NotificationChannel.LOG),
                "apprise",
            ],
            context=context,
            label=label,
            mandatory=True,
            ignores_quiet_hours=True,
            limit="10/h",
            over_limit="drop",
        ),
    )
# A link that was perhaps sent is not sent again: its user can ask for another one.
register(
    BuiltInEvents.MAGIC_LINK,
    NotificationEvent(
        name=BuiltInEvents.MAGIC_LINK.value,
        priority=NotificationPriority.HIGH,
        supported_channels=[NotificationChannel.EMAIL],
        context={"url": str},
        label=_("Your link"),
        mandatory=True,
        ignores_quiet_hours=True,
        limit="10/h",
        over_limit="drop",
        on_unknown="hold",
        sensitive=True,
        link="url",
    ),
)
# To the owner of an endpoint that Klaxon has disabled.
register(
    BuiltInEvents.WEBHOOK_DISABLED,
    NotificationEvent(
        name=BuiltInEvents.WEBHOOK_DISABLED.value,
        priority=NotificationPriority.HIGH,
        supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
        context={
            "endpoint": str,
            "server": str,
            "reason": str,
            "failing_since": datetime | None,
            "action_url": str,
        },
        label=_("Webhook disabled"),
        mandatory=True,
    ),
)
# To operators. They cannot be turned off. Webhooks are left out, because their endpoints belong to customers.
SYSTEM_EVENTS = frozenset({BuiltInEvents.SYSTEM_DEGRADED, BuiltInEvents.SYSTEM_RECOVERED})
for member, priority, label in (
    (BuiltInEvents.SYSTEM_DEGRADED, NotificationPriority.CRITICAL, _("Alarm of the system")),
    (BuiltInEvents.SYSTEM_RECOVERED, NotificationPriority.HIGH, _("All-clear of the system")),
):
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=priority,
            supported_channels=[
                *(
                    channel
                    for channel in NotificationChannel
                    if channel not in (NotificationChannel.LOG, NotificationChannel.WEBHOOK)
                ),
                "apprise",
                "fcm",
            ],
            context={"causes": list[dict[str, str]], "remaining": list[dict[str, str]]},
            label=label,
            mandatory=True,
            ignores_quiet_hours=True,
        ),
    )
