"""System checks: report configuration errors in advance, each with a hint.

Errors: E001 settings, E002 missing template, E003 duplicate event name, E004 enum and registry differ, E005 missing
extra, E006 channel class, E007 members of the cluster, E008 cluster model, E009 old SQLite, E010 USE_TZ, E012
preferences, E013 digests, E014 recipients of free text, E015 address fields, E016 themes, E017 topics, E020 senders of
emails, E021 SMTP without TLS, E022 no encryption keys, E023 no page for sensitive events, E024 tracking, E025 HTTP API,
E026 webhooks, E030 databases, E031 database engine, E032 no template engine, E033 own templates not found, E034 foreign
files, E035 magic links, E036 CAN rules, E037 CAN rules in Python, E038 django.tasks, E040 CAN bus,
E041 targets of escalations, E044 operators, E045 calls and channels of alarms, E046 archive.
 Warnings: W001 channel not configured, W002 SQLite options, W003 spool, W004 connection pools, W005 folder for
outcomes, W006 settings outside of NOTIFICATIONS, W007 undeclared variables, W008 disabled, W009 another package,
W010 no field for email, W013 static files not found, W014 nobody present, W015 secrets of webhooks in plain text,
W016 no callbacks of phone services, W017 calls for events that are not critical, W018 silent CAN buses, W020 CAN
adapter that does not only listen, W021 people whom escalations cannot reach, W022 token of the metrics, W025 ages of
the retention. For deployment: W011 no link to unsubscribe, W012 link that fails, W024 nobody informed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from notifications import conf
from notifications.checks.alarm import check_alarm, check_operators, check_someone_is_informed
from notifications.checks.api import check_api
from notifications.checks.can import check_can_bus
from notifications.checks.can_rules import check_can_rules
from notifications.checks.channels import (
    check_address_fields,
    check_channels,
    check_email_field,
    check_supported_channels,
    check_theme_sender,
    missing_extra_error,
)
from notifications.checks.databases import check_databases, check_engine, check_pools, check_sqlite
from notifications.checks.escalation import check_escalation_targets, check_reachable
from notifications.checks.magic_links import check_magic_links
from notifications.checks.metrics import check_metrics
from notifications.checks.package import check_files, check_path
from notifications.checks.paths import (
    check_digest_sections,
    check_members_of,
    check_message_recipients,
    check_preferences,
    check_theme_of,
    check_topics_of,
)
from notifications.checks.phone import check_calls, check_phone_callbacks
from notifications.checks.prefer import check_preferred_channels
from notifications.checks.retention import check_ages, check_archive
from notifications.checks.sensitive import check_sensitive_events
from notifications.checks.static_files import check_static_files
from notifications.checks.tasks import check_tasks
from notifications.checks.templates import check_templates
from notifications.checks.tracking import check_tracking
from notifications.checks.unsubscribe import check_unsubscribe
from notifications.checks.webhooks import check_webhooks
from notifications.core import extras
from notifications.delivering import leftovers
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.spool.files import Spool

Messages = Iterator[CheckMessage]


def check_settings() -> Messages:
    for problem in conf.problems():
        yield Error(problem.message, hint=problem.hint, id="klaxon.E001")


def check_other_settings() -> Messages:
    for problem in conf.find_misplaced_settings():
        yield Warning(problem.message, hint=problem.hint, id="klaxon.W006")


def check_switch() -> Messages:
    if not conf.current().enabled:
        yield Warning(
            "Notifications are disabled: nothing is queued or delivered.",
            hint="Set NOTIFICATIONS['ENABLED'] to True, or silence klaxon.W008 if this is intended.",
            id="klaxon.W008",
        )


def check_event_names() -> Messages:
    members_by_name = defaultdict(list)
    for member, event in NOTIFICATION_EVENTS.registrations:
        members_by_name[key_of(event.name)].append(f"{type(member).__name__}.{member.name}")
    for name, registered in members_by_name.items():
        if len(registered) > 1:
            yield Error(
                f"The notification event {name!r} is registered {len(registered)} times: {', '.join(registered)}.",
                hint="Give each event a unique name and register it once.",
                id="klaxon.E003",
            )


def check_enums_and_registry() -> Messages:
    for member, event in NOTIFICATION_EVENTS.items():
        if event.name != member.value:
            yield _enum_error(
                member,
                f"is registered with an event named {event.name!r}",
                f"Set name={member.value!r} in its NotificationEvent, or leave name out.",
            )
    for enum in {type(member) for member in NOTIFICATION_EVENTS}:
        for member in enum:
            if member not in NOTIFICATION_EVENTS:
                yield _enum_error(member, "has no registered event", "Register it, or remove it from the enum.")


def _enum_error(member: Enum, fault: str, hint: str) -> CheckMessage:
    return Error(f"{type(member).__name__}.{member.name} {fault}.", hint=hint, id="klaxon.E004")


def check_celery() -> Messages:
    if conf.current().celery and not extras.is_installed("celery"):
        yield missing_extra_error("NOTIFICATIONS['CELERY']", "celery", "celery")


def check_live_redis() -> Messages:
    if conf.current().live_redis and not extras.is_installed("redis"):
        yield missing_extra_error("NOTIFICATIONS['LIVE_REDIS']", "redis", "realtime")


def check_spool() -> Messages:
    folder = conf.current().spool_dir
    fault = Spool(folder).find_fault() if folder else ""
    if fault:
        yield Warning(
            f"The spool cannot be written to {str(folder)!r}: {fault}.",
            hint="Set NOTIFICATIONS['SPOOL_DIR'] to a folder to which every process that calls send() can write.",
            id="klaxon.W003",
        )


def check_state_folder() -> Messages:
    if fault := leftovers.find_fault():
        yield Warning(
            f"A worker cannot keep outcomes in {str(leftovers.get_folder())!r}: {fault}",
            hint="Set NOTIFICATIONS['STATE_DIR'] to a folder that belongs to the worker's user and that no other user "
            "can write to.",
            id="klaxon.W005",
        )


def check_cluster_model() -> Messages:
    try:
        apps.get_model(settings.NOTIFICATIONS_CLUSTER_MODEL)
    except (LookupError, ValueError, AttributeError) as error:
        # The messages of ValueError and AttributeError mention unpacking and attributes of Python objects.
        reason = str(error) if isinstance(error, LookupError) else "It does not have the form 'app_label.ModelName'."
        yield Error(
            f"NOTIFICATIONS_CLUSTER_MODEL is {settings.NOTIFICATIONS_CLUSTER_MODEL!r}: {reason}",
            hint="Set it to an installed model, as 'app_label.ModelName'.",
            id="klaxon.E008",
        )


def check_time_zones() -> Messages:
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is False, but leases and retries require aware datetimes.",
            hint="Set USE_TZ = True, which has been Django's default since 5.0.",
            id="klaxon.E010",
        )


CHECKS: tuple[Callable[[], Messages], ...] = (
    check_settings,
    check_other_settings,
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
CHECKS_WITH_VALID_SETTINGS: tuple[Callable[[], Messages], ...] = (
    check_switch,
    check_channels,
    check_theme_sender,
    check_address_fields,
    check_email_field,
    check_can_rules,
    check_can_bus,
    check_celery,
    check_tasks,
    check_live_redis,
    check_spool,
    check_state_folder,
    check_pools,
    check_members_of,
    check_message_recipients,
    check_operators,
    check_alarm,
    check_preferences,
    check_digest_sections,
    check_theme_of,
    check_topics_of,
    check_templates,
    check_sensitive_events,
    check_magic_links,
    check_metrics,
    check_preferred_channels,
    check_tracking,
    check_webhooks,
    check_archive,
    check_ages,
    check_static_files,
    check_api,
    check_supported_channels,
    check_phone_callbacks,
    check_calls,
    check_escalation_targets,
)


def run_checks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found = [message for check in CHECKS for message in check()]
    if not {"klaxon.E001", "klaxon.E008"} & {message.id for message in found}:
        found += [message for check in CHECKS_WITH_VALID_SETTINGS for message in check()]
    return found


def run_deployment_checks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    # The other checks report invalid settings.
    return [] if any(conf.problems()) else [*check_unsubscribe(), *check_someone_is_informed()]


def register_checks() -> None:
    register(run_checks, "klaxon")
    register(run_deployment_checks, "klaxon", deploy=True)
    # Without the tag of the others: since Django 6.1, a check with a tag that is asked for may read all databases.
    register(check_reachable, Tags.database)
