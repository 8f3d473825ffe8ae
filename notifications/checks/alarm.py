"""Checks of the alarm: whether somebody is informed if the system does not work, and whether that is possible."""

import shutil
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from notifications import conf
from notifications.checks.channels import missing_extra_error
from notifications.conf.problem import suggest
from notifications.core import extras
from notifications.escalation.targets import expand_targets, parse_address
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import KlaxonError
from notifications.models import Cluster, get_cluster_model

Messages = Iterator[CheckMessage]
ALARM = "NOTIFICATIONS['ALARM']"


def check_operators() -> Messages:
    """Report targets of ``OPERATORS`` that cannot exist, as far as that can be known without the database."""
    for text in conf.current().operators:
        try:
            for target in expand_targets([text]):
                if target.kind == "address":
                    parse_address(target.value)
                elif target.kind == "path":
                    _import_function(target.value)
        except (KlaxonError, ImportError, TypeError, ValueError) as error:
            yield Error(
                f"NOTIFICATIONS['OPERATORS'] names {text!r:.80}: {error}",
                hint='Set it to targets such as "role:Operators" or "address:email=ops@example.com".',
                id="klaxon.E044",
            )
    if conf.current().operators and get_cluster_model() is not Cluster and not _get("CLUSTER"):
        yield Error(
            f"{ALARM} has no CLUSTER, but the site has its own cluster model, so there is no default cluster.",
            hint="Set it to the primary key of the cluster of which the operators are members.",
            id="klaxon.E044",
        )


def check_alarm() -> Messages:
    """Report calls that cannot be made, and names that have no effect."""
    urls = [key for key in ("HOOK", "HEARTBEAT_URL") if _get(key) and isinstance(_get(key), str)]
    if urls and not extras.is_installed("requests"):
        yield missing_extra_error(f"{ALARM}[{urls[0]!r}]", "requests", "http")
    hook = _get("HOOK")
    if hook and not isinstance(hook, str) and shutil.which(hook[0]) is None:
        yield Error(
            f"The command of {ALARM}['HOOK'], {hook[0]!r:.80}, cannot be found or started.",
            hint="Set the first item to the absolute path of a program that the worker's user may execute.",
            id="klaxon.E045",
        )
    known = [name for name in NOTIFICATION_EVENTS[BuiltInEvents.SYSTEM_DEGRADED].channels if _is_enabled(name)]
    for name in _get("CHANNELS"):
        if name.lower() not in known:
            yield Error(
                f"{ALARM}['CHANNELS'] names {name!r:.80}, on which alarms cannot be sent.",
                hint=suggest(name, known, "channels"),
                id="klaxon.E045",
            )


def check_someone_is_informed() -> Messages:
    """Report for deployment that nobody, or nobody independent of the channels, is informed of a failure."""
    if _get("HOOK"):
        return
    if conf.current().operators:
        message = f"{ALARM} has no HOOK, so nobody is informed if no worker runs or the database cannot be used."
    else:
        message = f"Nobody is informed if notifications do not work: neither OPERATORS nor {ALARM}['HOOK'] is set."
    yield Warning(
        message,
        hint=f"Set {ALARM}['HOOK'] to a URL or a command, and run notifications_watchdog by cron.",
        id="klaxon.W024",
    )


def _import_function(path: str) -> None:
    if not callable(import_string(path)):
        raise TypeError(f"{path} is not a function.")


def _is_enabled(name: str) -> bool:
    return name in conf.current().enabled_channels


def _get(key: str) -> Any:
    return conf.current().get_alarm_option(key)
