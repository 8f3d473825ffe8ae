"""Checks of channels: whether each can be created from its class and options, and whom it can reach."""

import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels import BaseChannel, create_channel
from notifications.channels.email import EmailChannel
from notifications.channels.senders import Sender, find_sender_faults
from notifications.channels.smtp_security import EncryptionFault
from notifications.checks.options import find_mistyped_option
from notifications.conf import get_address_kind, get_channel_class, get_channel_conf
from notifications.conf.channels import ProviderConf
from notifications.conf.problem import find_nearest, suggest
from notifications.core import extras
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import MissingExtra
from notifications.sending.gates.facts import get_address_field

Messages = Iterator[CheckMessage]
EXTRA_HINT = "Install it with: pip install 'django-klaxon[{}]'"
BACKEND_HINT = "Set BACKEND of {} to the dotted path of a subclass of notifications.channels.BaseChannel."


def check_channels() -> Messages:
    for name in sorted(conf.current().enabled_channels):
        for provider in get_channel_conf(name).providers:
            yield from _check_provider(name, provider)


def _check_provider(name: str, provider: ProviderConf) -> Messages:
    setting, backend = f"NOTIFICATIONS['CHANNELS'][{name!r}]", None
    try:
        backend = import_string(provider.backend)
        if isinstance(backend, type) and issubclass(backend, BaseEmailBackend):
            fault = f"has the BACKEND {provider.backend!r}, which is an email backend and not a channel"
            hint = f"Remove BACKEND of {setting}: the channel 'email' uses EMAIL_BACKEND, or its own option 'backend'."
            yield _channel_error(name, fault, hint)
            return
        if (unknown := find_unknown_option(backend, provider)) is not None:
            hint = suggest(unknown, get_option_names(backend), "options")
            yield _channel_error(name, f"has no option {unknown!r}", hint)
            return
        channel = create_channel(name, provider)
    except MissingExtra as error:
        yield missing_extra_error(f"The channel {name!r}", error.module, error.extra)
    except ImportError as error:
        yield _channel_error(name, f"cannot be created: {error}", BACKEND_HINT.format(setting))
    except Exception as error:  # noqa: BLE001 - a channel's constructor may raise anything
        yield _explain_failure(name, backend, provider, error)
    else:
        yield from _check_channel(name, provider, channel, setting)


def _explain_failure(name: str, backend: Any, provider: ProviderConf, error: Exception) -> CheckMessage:
    wrong = find_mistyped_option(backend, provider.options) if isinstance(error, AttributeError | TypeError) else None
    if wrong is not None:
        return _mistyped_error(name, *wrong)
    email = ", and the email settings of the site" if backend is EmailChannel else ""
    hint = f"Check BACKEND and OPTIONS of NOTIFICATIONS['CHANNELS'][{name!r}]{email}."
    return _channel_error(name, f"cannot be created: {error}", hint)


def _mistyped_error(name: str, option: str, requirement: str) -> CheckMessage:
    fault = f"has the option {option!r}, which must be {requirement}"
    return _channel_error(name, fault, f"Correct it in OPTIONS of NOTIFICATIONS['CHANNELS'][{name!r}].")


def _check_channel(name: str, provider: ProviderConf, channel: Any, setting: str) -> Messages:
    if not isinstance(channel, BaseChannel):
        yield _channel_error(name, f"is {channel!r:.80}, not a channel", BACKEND_HINT.format(setting))
    elif channel.address_kind != get_channel_class(name).address_kind:
        hint = f"Give all providers of {setting} the same address_kind, or move this provider to another channel."
        yield _channel_error(name, f"has a provider {provider.name!r} that sends to another kind of address", hint)
    elif wrong := find_mistyped_option(type(channel), provider.options):
        yield _mistyped_error(name, *wrong)
    else:
        if isinstance(channel, EmailChannel):
            yield from map(_sender_error, channel.sender_faults)
            if channel.encryption_fault:
                yield _encryption_error(channel.encryption_fault)
        missing = [module for module in channel.requires if not extras.is_installed(module)]
        for module in missing:
            yield missing_extra_error(f"The channel {name!r}", module, extras.EXTRA_BY_MODULE.get(module, module))
        if not missing:
            yield from _check_methods(name, channel)


def _check_methods(name: str, channel: BaseChannel) -> Messages:
    for method in ("prepare", "send"):
        if getattr(type(channel), method) is getattr(BaseChannel, method):
            yield _channel_error(
                name,
                f"has the class {type(channel).__name__}, which does not implement {method}()",
                f"Implement {method}() in that class, as BaseChannel describes it.",
            )


def find_unknown_option(backend: Any, provider: ProviderConf) -> str | None:
    """Return the first option that the class does not accept; None if it accepts all or its signature is unknown."""
    known = get_option_names(backend)
    return next((option for option in provider.options if known and option not in known), None)


def get_option_names(backend: Any) -> Sequence[str]:
    """Return the keyword arguments of a class; empty if it accepts any, or none."""
    try:
        parameters = inspect.signature(backend).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return ()
    return [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]


def _channel_error(name: str, fault: str, hint: str) -> CheckMessage:
    end = "" if fault.endswith("?") else "."
    return Error(f"The channel {name!r} {fault.rstrip('.')}{end}", hint=hint, id="klaxon.E006")


def _sender_error(fault: str) -> CheckMessage:
    hint = "Set it to one address, such as shop@example.com or 'The Shop <shop@example.com>'."
    return Error(f"A sender of emails is invalid: {fault}", hint=hint, id="klaxon.E020")


def _encryption_error(fault: EncryptionFault) -> CheckMessage:
    return Error(f"No email is sent: {fault.sentence}", hint=fault.advice, id="klaxon.E021")


def missing_extra_error(feature: str, module: str, extra: str) -> CheckMessage:
    hint = EXTRA_HINT.format(extra)
    return Error(f"{feature} requires {module!r}, which is not installed.", hint=hint, id="klaxon.E005")


def check_theme_sender() -> Messages:
    theme = conf.current().theme
    for key, addresses in (("from_email", [theme.get("from_email", "")]), ("reply_to", theme.get("reply_to", ()))):
        for address in filter(None, addresses):
            yield from map(_sender_error, find_sender_faults(Sender(address), f"NOTIFICATIONS['THEME'][{key!r}]"))


def check_supported_channels() -> Messages:
    missing, enabled = defaultdict(list), conf.current().enabled_channels
    for member, event in NOTIFICATION_EVENTS.items():
        for name in dict.fromkeys([*event.named_channels, *event.fallback.values()]):
            if name not in enabled and not isinstance(member, BuiltInEvents):
                missing[name].append(event.name)
    for name, events in sorted(missing.items()):
        near = find_nearest(name, enabled)
        advice = f"Did you mean {near!r}? If not, add" if near else "Add"
        yield Warning(
            f"The channel {name!r} is not configured. These events will not use it: {', '.join(events)}.",
            hint=f"{advice} {name!r} to NOTIFICATIONS['CHANNELS'], or silence klaxon.W001 if this is intended.",
            id="klaxon.W001",
        )


def check_address_fields() -> Messages:
    model: Any = get_user_model()
    fields = [field.name for field in model._meta.get_fields()]
    for kind, name in conf.current().address_fields.items():
        if not hasattr(model, name):
            yield Error(
                f"NOTIFICATIONS['ADDRESS_FIELDS'] names the field {name!r} for addresses of the kind {kind!r}, but the "
                f"model {model._meta.label} does not have it.",
                hint=suggest(name, fields, "fields"),
                id="klaxon.E015",
            )


def check_email_field() -> Messages:
    model: Any = get_user_model()
    name = get_address_field(model, "email")
    enabled = sorted(conf.current().enabled_channels)
    email_channels = [channel for channel in enabled if _get_address_kind(channel) == "email"]
    if email_channels and not hasattr(model, name) and "email" not in conf.current().address_fields:
        yield Warning(
            f"The channel {email_channels[0]!r} sends emails, but {model._meta.label} has no field {name!r} for the "
            "address.",
            hint=f"Set EMAIL_FIELD of {model._meta.label}, or NOTIFICATIONS['ADDRESS_FIELDS']['email'], to the name of "
            "the field. If addresses come only from UserSettings.addresses or from Address(…), silence klaxon.W010.",
            id="klaxon.W010",
        )


def _get_address_kind(channel: str) -> str:
    try:
        return get_address_kind(channel)
    except (ImportError, AttributeError):
        return ""  # E006 reports it
