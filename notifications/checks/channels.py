"""Checks of channels: whether each can be made of its class and options, and whom it can reach."""

import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels import BaseChannel, open_channel
from notifications.channels.email import EmailChannel
from notifications.conf.channels import ProviderConf
from notifications.conf.problem import closest, nearest
from notifications.core import extras
from notifications.core.channel_classes import address_kind, channel_class, channel_conf
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import MissingExtra
from notifications.sending.gates.facts import address_field

Found = Iterator[CheckMessage]
EXTRA_HINT = "Install it with: pip install 'django-klaxon[{}]'"
BACKEND_HINT = "Set BACKEND of {} to the dotted path of a subclass of notifications.channels.BaseChannel."


def check_channels() -> Found:
    for name in sorted(conf.current().enabled_channels):
        for provider in channel_conf(name).providers:
            yield from _check_provider(name, provider)


def _check_provider(name: str, provider: ProviderConf) -> Found:
    where, made = f"NOTIFICATIONS['CHANNELS'][{name!r}]", None
    try:
        made = import_string(provider.backend)
        if isinstance(made, type) and issubclass(made, BaseEmailBackend):
            hint = f"Leave BACKEND of {where} out: the channel 'email' uses EMAIL_BACKEND, or its own option 'backend'."
            yield _unusable(name, f"is made of {provider.backend!r}, which is an email backend and no channel", hint)
            return
        if (unknown := unknown_option(made, provider)) is not None:
            yield _unusable(name, f"has no option {unknown!r}", closest(unknown, options_of(made), "options"))
            return
        channel = open_channel(name, provider)
    except MissingExtra as error:
        yield missing_extra(f"The channel {name!r}", error.module, error.extra)
    except ImportError as error:
        yield _unusable(name, f"cannot be made: {error}", BACKEND_HINT.format(where))
    except Exception as error:  # noqa: BLE001 - whatever a channel's constructor raises, the check tells it
        email = ", and at the email settings of the site" if made is EmailChannel else ""
        yield _unusable(name, f"cannot be made: {error}", f"Look at BACKEND and OPTIONS of {where}{email}.")
    else:
        yield from _check_made(name, provider, channel, where)


def _check_made(name: str, provider: ProviderConf, channel: Any, where: str) -> Found:
    if not isinstance(channel, BaseChannel):
        yield _unusable(name, f"is {channel!r:.80}, not a channel", BACKEND_HINT.format(where))
    elif channel.address_kind != channel_class(name).address_kind:
        hint = f"Providers of {where} must be of classes with the same address_kind. Make another channel of this one."
        yield _unusable(name, f"has a provider {provider.name!r} that sends to another kind of address", hint)
    else:
        if isinstance(channel, EmailChannel):
            yield from map(_unusable_sender, channel.sender_faults)
        missing = [module for module in channel.requires if not extras.installed(module)]
        for module in missing:
            yield missing_extra(f"The channel {name!r}", module, extras.EXTRA_OF.get(module, module))
        if not missing:
            yield from _check_methods(name, channel)


def _check_methods(name: str, channel: BaseChannel) -> Found:
    for method in ("prepare", "send"):
        if getattr(type(channel), method) is getattr(BaseChannel, method):
            yield _unusable(
                name,
                f"is of the class {type(channel).__name__}, which has no {method}() of its own",
                f"Write {method}() in that class, as BaseChannel describes it.",
            )


def unknown_option(made: Any, provider: ProviderConf) -> str | None:
    """The first option that the class does not take; None if it takes them all, or does not say."""
    known = options_of(made)
    return next((option for option in provider.options if known and option not in known), None)


def options_of(made: Any) -> Sequence[str]:
    """The keyword arguments of a class; empty if it takes any, or none."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return ()
    return [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]


def _unusable(name: str, fault: str, hint: str) -> CheckMessage:
    return Error(f"The channel {name!r} {fault.rstrip('.')}.", hint=hint, id="klaxon.E006")


def _unusable_sender(fault: str) -> CheckMessage:
    hint = "Write one address, such as shop@example.com or 'The Shop <shop@example.com>'."
    return Error(f"A sender of mails cannot be used: {fault}", hint=hint, id="klaxon.E020")


def missing_extra(who: str, module: str, extra: str) -> CheckMessage:
    return Error(f"{who} needs {module!r}, which is not installed.", hint=EXTRA_HINT.format(extra), id="klaxon.E005")


def check_supported_channels() -> Found:
    missing, on = defaultdict(list), conf.current().enabled_channels
    for member, event in NOTIFICATION_EVENTS.items():
        for name in dict.fromkeys([*event.channels, *event.fallback.values()]):
            if name not in on and not isinstance(member, BuiltInEvents):
                missing[name].append(event.name)
    for name, events in sorted(missing.items()):
        near = nearest(name, on)
        mend = f"Did you mean {near!r}? If not, add" if near else "Add"
        yield Warning(
            f"The channel {name!r} is not configured; these events will not use it: {', '.join(events)}.",
            hint=f"{mend} {name!r} to NOTIFICATIONS['CHANNELS'], or silence klaxon.W001 if that is meant.",
            id="klaxon.W001",
        )


def check_address_fields() -> Found:
    model: Any = get_user_model()
    fields = [field.name for field in model._meta.get_fields()]
    for kind, name in conf.current().address_fields.items():
        if not hasattr(model, name):
            yield Error(
                f"NOTIFICATIONS['ADDRESS_FIELDS'] says that {name!r} of a user is the address of the kind {kind!r}. "
                f"The model {model._meta.label} has no such field.",
                hint=closest(name, fields, "fields"),
                id="klaxon.E015",
            )


def check_email_field() -> Found:
    model: Any = get_user_model()
    name = address_field(model, "email")
    mailing = [channel for channel in sorted(conf.current().enabled_channels) if _kind(channel) == "email"]
    if mailing and not hasattr(model, name) and "email" not in conf.current().address_fields:
        yield Warning(
            f"The channel {mailing[0]!r} sends emails, and {model._meta.label} has no field {name!r} for the address.",
            hint=f"Set EMAIL_FIELD of {model._meta.label}, or NOTIFICATIONS['ADDRESS_FIELDS']['email'], to the name of "
            "the field. Silence klaxon.W010 if addresses come only from the settings of users or from Address(…).",
            id="klaxon.W010",
        )


def _kind(channel: str) -> str:
    try:
        return address_kind(channel)
    except (ImportError, AttributeError):
        return ""  # E006 tells of it
