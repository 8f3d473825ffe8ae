"""System checks: misconfiguration is told before it is met, with a hint.

Errors: E001 settings, E002 missing template, E003 duplicate event name, E004 enum and registry apart, E005 missing
extra, E006 channel class, E007 members of the cluster, E008 cluster model, E009 old SQLite, E010 USE_TZ, E011 CAN
rules, E012 preferences, E013 digests, E014 recipients of free text, E020 senders of mails, E030 databases, E031
database engine, E032 no template engine, E033 own templates not found, E034 foreign files. Warnings: W001 channel not
configured, W002 SQLite options, W003 spool, W004 connection pools, W005 folder for outcomes, W006 settings beside
NOTIFICATIONS, W007 undeclared variables, W008 switched off, W009 another package.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from notifications import conf, extras
from notifications.channel_classes import channel_class, channel_conf
from notifications.channels import BaseChannel, open_channel
from notifications.channels.email import EmailChannel
from notifications.checks.databases import check_databases, check_engine, check_pools, check_sqlite
from notifications.checks.package import check_files, check_path
from notifications.checks.templates import check_templates
from notifications.conf import Conf
from notifications.conf.channels import ProviderConf
from notifications.dispatch import leftovers
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents, key_of
from notifications.exceptions import MissingExtra
from notifications.manager.message import is_dotted_path
from notifications.spool import Spool

Found = Iterator[CheckMessage]
EXTRA_HINT = "Install it with: pip install 'django-klaxon[{}]'"


def check_settings() -> Found:
    for problem in conf.problems():
        yield Error(problem.message, hint=problem.hint, id="klaxon.E001")


def check_settings_beside() -> Found:
    for problem in conf.problems_beside():
        yield Warning(problem.message, hint=problem.hint, id="klaxon.W006")


def check_switch() -> Found:
    if not conf.current().enabled:
        yield Warning(
            "Notifications are switched off: nothing is queued or delivered.",
            hint="Set NOTIFICATIONS['ENABLED'] to True, or silence klaxon.W008 if that is meant.",
            id="klaxon.W008",
        )


def check_event_names() -> Found:
    members = defaultdict(list)
    for member, event in NOTIFICATION_EVENTS.registrations:
        members[key_of(event.name)].append(f"{type(member).__name__}.{member.name}")
    for name, registered in members.items():
        if len(registered) > 1:
            yield Error(
                f"The notification event {name!r} is registered {len(registered)} times: {', '.join(registered)}.",
                hint="Give each event a name of its own, and register it once.",
                id="klaxon.E003",
            )


def check_enums_and_registry() -> Found:
    for member, event in NOTIFICATION_EVENTS.items():
        if event.name != member.value:
            yield _drift(member, f"is registered with an event named {event.name!r}", "Pass name=…value of the member.")
    for enum in {type(member) for member in NOTIFICATION_EVENTS}:
        for member in enum:
            if member not in NOTIFICATION_EVENTS:
                yield _drift(member, "has no registered event", "Register it, or remove it from the enum.")


def _drift(member: Enum, fault: str, hint: str) -> CheckMessage:
    return Error(f"{type(member).__name__}.{member.name} {fault}.", hint=hint, id="klaxon.E004")


def check_channels() -> Found:
    for name in sorted(conf.current().enabled_channels):
        for provider in channel_conf(name).providers:
            yield from _check_provider(name, provider)


def _check_provider(name: str, provider: ProviderConf) -> Found:
    try:
        channel = open_channel(name, provider)
    except MissingExtra as error:
        yield _missing_extra(f"The channel {name!r}", error.module, error.extra)
        return
    except Exception as error:  # noqa: BLE001 - whatever a channel's constructor raises, the check tells it
        yield _unusable_channel(name, f"cannot be made: {error}")
        return
    if not isinstance(channel, BaseChannel):
        yield _unusable_channel(name, f"is {channel!r:.80}, not a channel")
    elif channel.address_kind != channel_class(name).address_kind:
        yield _unusable_channel(name, f"has a provider {provider.name!r} that sends to another kind of address")
    else:
        if isinstance(channel, EmailChannel):
            yield from map(_unusable_sender, channel.sender_faults)
        for module in channel.requires:
            if not extras.installed(module):
                yield _missing_extra(f"The channel {name!r}", module, extras.EXTRA_OF.get(module, module))


def _unusable_sender(fault: str) -> CheckMessage:
    hint = "Write one address, such as shop@example.com or 'The Shop <shop@example.com>'."
    return Error(f"A sender of mails cannot be used: {fault}", hint=hint, id="klaxon.E020")


def _unusable_channel(name: str, fault: str) -> CheckMessage:
    hint = f"Look at BACKEND and OPTIONS of NOTIFICATIONS['CHANNELS'][{name!r}]."
    return Error(f"The channel {name!r} {fault}.", hint=hint, id="klaxon.E006")


def _missing_extra(who: str, module: str, extra: str) -> CheckMessage:
    return Error(f"{who} needs {module!r}, which is not installed.", hint=EXTRA_HINT.format(extra), id="klaxon.E005")


def check_can() -> Found:
    path = conf.current().can_rules
    if path and not extras.installed("can"):
        yield _missing_extra("NOTIFICATIONS['CAN_RULES']", "can", "can")
    elif path:
        hint = "It must be the dotted path of a callable(FaultChange) -> iterable of Send."
        yield from _callable(path, "NOTIFICATIONS['CAN_RULES']", hint, "klaxon.E011")


def check_celery() -> Found:
    if conf.current().celery and not extras.installed("celery"):
        yield _missing_extra("NOTIFICATIONS['CELERY']", "celery", "celery")


def check_spool() -> Found:
    folder = conf.current().spool_dir
    fault = Spool(folder).fault() if folder else ""
    if fault:
        yield Warning(
            f"Nothing can be spooled in {str(folder)!r}: {fault}.",
            hint="Set NOTIFICATIONS['SPOOL_DIR'] to a folder that the processes which send may write to.",
            id="klaxon.W003",
        )


def check_state() -> Found:
    if fault := leftovers.fault():
        yield Warning(
            f"A worker cannot keep outcomes in {str(leftovers.folder())!r}: {fault}",
            hint="Set NOTIFICATIONS['STATE_DIR'] to a folder that belongs to the user of the worker, and that no other "
            "user may write to.",
            id="klaxon.W005",
        )


def check_supported_channels() -> Found:
    missing = defaultdict(list)
    for member, event in NOTIFICATION_EVENTS.items():
        for name in dict.fromkeys([*event.channels, *event.fallback.values()]):
            if name not in conf.current().enabled_channels and not isinstance(member, BuiltInEvents):
                missing[name].append(event.name)
    for name, events in sorted(missing.items()):
        yield Warning(
            f"The channel {name!r} is not configured; these events will not use it: {', '.join(events)}.",
            hint=f"Add {name!r} to NOTIFICATIONS['CHANNELS'], or silence klaxon.W001 if that is meant.",
            id="klaxon.W001",
        )


def check_members() -> Found:
    path = conf.current().members_of
    own_model = settings.NOTIFICATIONS_CLUSTER_MODEL.lower() != "klaxon.cluster"
    hint = "Set it to the dotted path of a callable such as: def members_of(cluster): return cluster.residents.all()"
    if own_model and path == Conf.members_of:
        yield Error(
            "NOTIFICATIONS['MEMBERS_OF'] is needed with a cluster model of your own.", hint=hint, id="klaxon.E007"
        )
        return
    yield from _callable(path, "NOTIFICATIONS['MEMBERS_OF']", hint, "klaxon.E007")


def check_message_recipients() -> Found:
    named = conf.current().message_recipients
    if is_dotted_path(named):
        hint = "Set it to the dotted path of a callable(cluster) that returns recipients, or to the name of a group."
        yield from _callable(named, "NOTIFICATIONS['MESSAGE_RECIPIENTS']", hint, "klaxon.E014")


def check_preferences() -> Found:
    path = conf.current().preferences
    hint = "Set it to the dotted path of a class with a method load(cluster, user_ids)."
    yield from (faults := list(_callable(path, "NOTIFICATIONS['PREFERENCES']", hint, "klaxon.E012")))
    if not faults and not callable(getattr(import_string(path), "load", None)):
        yield Error(f"NOTIFICATIONS['PREFERENCES'] is {path!r}, which has no load().", hint=hint, id="klaxon.E012")


def check_digests() -> Found:
    if path := conf.current().digest_sections:
        hint = "Set it to the dotted path of a function (cluster, users, gathers, since, until), or leave it empty."
        yield from _callable(path, "NOTIFICATIONS['DIGEST_SECTIONS']", hint, "klaxon.E013")


def _callable(path: str, what: str, hint: str, identifier: str) -> Found:
    try:
        found = import_string(path)
    except ImportError as error:
        yield Error(f"{what} cannot be imported: {error}", hint=hint, id=identifier)
        return
    if not callable(found):
        yield Error(f"{what} is {found!r}, not a callable.", hint=hint, id=identifier)


def check_cluster_model() -> Found:
    try:
        apps.get_model(settings.NOTIFICATIONS_CLUSTER_MODEL)
    except (LookupError, ValueError, AttributeError) as error:
        yield Error(
            f"NOTIFICATIONS_CLUSTER_MODEL is {settings.NOTIFICATIONS_CLUSTER_MODEL!r}: {error}",
            hint='It must name an installed model, as "app_label.ModelName".',
            id="klaxon.E008",
        )


def check_time_zones() -> Found:
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is False; leases and retries need times with a zone.",
            hint="Set USE_TZ = True, which has been Django's default since 5.0.",
            id="klaxon.E010",
        )


ALWAYS: tuple[Callable[[], Found], ...] = (
    check_settings,
    check_settings_beside,
    check_files,
    check_path,
    check_cluster_model,
    check_event_names,
    check_enums_and_registry,
    check_engine,
    check_sqlite,
    check_databases,
    check_time_zones,
)
WITH_GOOD_SETTINGS: tuple[Callable[[], Found], ...] = (
    check_switch,
    check_channels,
    check_can,
    check_celery,
    check_spool,
    check_state,
    check_pools,
    check_members,
    check_message_recipients,
    check_preferences,
    check_digests,
    check_templates,
    check_supported_channels,
)


def run_checks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found = [message for check in ALWAYS for message in check()]
    if not {"klaxon.E001", "klaxon.E008"} & {message.id for message in found}:
        found += [message for check in WITH_GOOD_SETTINGS for message in check()]
    return found


def register_checks() -> None:
    register(run_checks, "klaxon")
