"""Checks of settings that are dotted paths: whether each can be imported, and called as Klaxon calls it."""

import inspect
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from notifications import conf
from notifications.checks.channels import missing_extra
from notifications.conf import Conf
from notifications.core import extras
from notifications.sending.message import is_dotted_path

Found = Iterator[CheckMessage]


def check_can() -> Found:
    path = conf.current().can_rules
    if path and not extras.installed("can"):
        yield missing_extra("NOTIFICATIONS['CAN_RULES']", "can", "can")
    elif path:
        hint = "It must be the dotted path of a callable(FaultChange) -> iterable of Send."
        yield from _callable(path, "CAN_RULES", 1, hint, "klaxon.E011")


def check_members() -> Found:
    path = conf.current().members_of
    own_model = settings.NOTIFICATIONS_CLUSTER_MODEL.lower() != "klaxon.cluster"
    hint = "Set it to the dotted path of a callable such as: def members_of(cluster): return cluster.residents.all()"
    if own_model and path == Conf.members_of:
        yield Error(
            "NOTIFICATIONS['MEMBERS_OF'] is needed with a cluster model of your own.", hint=hint, id="klaxon.E007"
        )
        return
    yield from _callable(path, "MEMBERS_OF", 1, hint, "klaxon.E007")


def check_message_recipients() -> Found:
    named = conf.current().message_recipients
    if is_dotted_path(named):
        hint = "Set it to the dotted path of a callable(cluster) that returns recipients, or to the name of a group."
        yield from _callable(named, "MESSAGE_RECIPIENTS", 1, hint, "klaxon.E014")


def check_preferences() -> Found:
    path = conf.current().preferences
    hint = "Set it to the dotted path of a class with a method load(cluster, user_ids)."
    yield from (faults := list(_callable(path, "PREFERENCES", None, hint, "klaxon.E012")))
    if not faults and not callable(getattr(import_string(path), "load", None)):
        yield Error(f"NOTIFICATIONS['PREFERENCES'] is {path!r}, which has no load().", hint=hint, id="klaxon.E012")


def check_digests() -> Found:
    if path := conf.current().digest_sections:
        hint = "Set it to the dotted path of a function (cluster, users, gathers, since, until), or leave it empty."
        yield from _callable(path, "DIGEST_SECTIONS", 5, hint, "klaxon.E013")


def _callable(path: str, key: str, count: int | None, hint: str, identifier: str) -> Found:
    """
    :param count: how many arguments it is called with; None if that is not to be checked.
    """
    what = f"NOTIFICATIONS[{key!r}]"
    try:
        found = import_string(path)
    except ImportError as error:
        yield Error(f"{what} cannot be imported: {error}.", hint=hint, id=identifier)
        return
    if not callable(found):
        yield Error(f"{what} is {found!r}, not a callable.", hint=hint, id=identifier)
    elif count is not None and not takes(found, count):
        arguments = "one argument" if count == 1 else f"{count} arguments"
        yield Error(f"{what} is {path!r}, which does not take {arguments}.", hint=hint, id=identifier)


def takes(function: Any, count: int) -> bool:
    """Whether it can be called with so many arguments; also if that cannot be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
