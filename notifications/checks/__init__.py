"""System checks: misconfiguration is told before it is met, with a hint.

Errors: E001 settings, E002 missing template, E003 duplicate event name, E004 enum and registry apart, E005 missing
extra, E006 channel class, E007 members of the cluster, E008 cluster model, E009 old SQLite, E010 USE_TZ, E011 CAN
rules, E012 preferences, E013 digests, E014 recipients of free text, E020 senders of mails, E030 databases, E031
database engine, E032 no template engine, E033 own templates not found, E034 foreign files. Warnings: W001 channel not
configured, W002 SQLite options, W003 spool, W004 connection pools, W005 folder for outcomes, W006 settings beside
NOTIFICATIONS, W007 undeclared variables, W008 switched off, W009 another package, W010 no field for
email.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from notifications import conf
from notifications.checks.channels import (
    check_address_fields,
    check_channels,
    check_email_field,
    check_supported_channels,
    missing_extra,
)
from notifications.checks.databases import check_databases, check_engine, check_pools, check_sqlite
from notifications.checks.package import check_files, check_path
from notifications.checks.paths import (
    check_can,
    check_digests,
    check_members,
    check_message_recipients,
    check_preferences,
)
from notifications.checks.templates import check_templates
from notifications.core import extras
from notifications.delivering import leftovers
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.spool.files import Spool

Found = Iterator[CheckMessage]


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
            yield _drift(
                member,
                f"is registered with an event named {event.name!r}",
                f"Write name={member.value!r} in its NotificationEvent.",
            )
    for enum in {type(member) for member in NOTIFICATION_EVENTS}:
        for member in enum:
            if member not in NOTIFICATION_EVENTS:
                yield _drift(member, "has no registered event", "Register it, or remove it from the enum.")


def _drift(member: Enum, fault: str, hint: str) -> CheckMessage:
    return Error(f"{type(member).__name__}.{member.name} {fault}.", hint=hint, id="klaxon.E004")


def check_celery() -> Found:
    if conf.current().celery and not extras.installed("celery"):
        yield missing_extra("NOTIFICATIONS['CELERY']", "celery", "celery")


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


def check_cluster_model() -> Found:
    try:
        apps.get_model(settings.NOTIFICATIONS_CLUSTER_MODEL)
    except (LookupError, ValueError, AttributeError) as error:
        # What else is raised speaks of unpacking.
        why = str(error) if isinstance(error, LookupError) else "It is not written as 'app_label.ModelName'."
        yield Error(
            f"NOTIFICATIONS_CLUSTER_MODEL is {settings.NOTIFICATIONS_CLUSTER_MODEL!r}: {why}",
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
    check_address_fields,
    check_email_field,
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
