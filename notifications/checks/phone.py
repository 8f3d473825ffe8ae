"""Checks of SMS and voice: whether services can report to this site, and whether calls are for CRITICAL events."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning

from notifications import conf
from notifications.channels.sms_gateway import SMSGatewayChannel
from notifications.channels.twilio import STATUS_VIEW, TwilioChannel
from notifications.channels.twilio_voice import TwilioVoiceChannel
from notifications.checks.site_urls import find_path
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents, NotificationPriority
from notifications.phone.providers import iterate_providers

Messages = Iterator[CheckMessage]


def check_phone_callbacks() -> Messages:
    twilio = {name for name, one in iterate_providers(TwilioChannel) if one.options.get("callbacks")}
    gateways = {name for name, one in iterate_providers(SMSGatewayChannel) if one.options.get("callback")}
    names = ", ".join(sorted(twilio | gateways))
    if names and not find_path(STATUS_VIEW, "x"):
        yield Warning(
            f"The services of these channels cannot report what happens to messages, because the URLs are missing: "
            f"{names}.",
            hint='Add path("notifications/", include("notifications.urls")) to your urls.py.',
            id="klaxon.W016",
        )
    if twilio and not conf.current().base_url:
        yield Warning(
            "Twilio cannot report what happens to messages, because the site's address is not set: "
            f"{', '.join(sorted(twilio))}.",
            hint="Set NOTIFICATIONS['BASE_URL'] to the address under which Twilio reaches your site, or remove the "
            "option 'callbacks'.",
            id="klaxon.W016",
        )


def check_calls() -> Messages:
    calling = {name for name, _provider in iterate_providers(TwilioVoiceChannel)}
    for member, event in NOTIFICATION_EVENTS.items():
        used = calling & {*event.named_channels, *event.fallback.values()}
        if used and event.priority != NotificationPriority.CRITICAL and not isinstance(member, BuiltInEvents):
            yield Warning(
                f"The event {event.name!r} calls people by the channel {min(used)!r}, but it is not CRITICAL.",
                hint=f"Set its priority to CRITICAL, or remove {min(used)!r}. If it is intended, silence klaxon.W017.",
                id="klaxon.W017",
            )
