"""Checks of settings that are dotted paths: whether each can be imported and called with Klaxon's arguments."""

import inspect
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf import Conf
from notifications.sending.message import is_dotted_path

Messages = Iterator[CheckMessage]


def check_members_of() -> Messages:
    path = conf.current().members_of
    has_own_model = settings.NOTIFICATIONS_CLUSTER_MODEL.lower() != "klaxon.cluster"
    hint = "Set it to the dotted path of a callable such as: def members_of(cluster): return cluster.residents.all()"
    if has_own_model and path == Conf.members_of:
        yield Error("NOTIFICATIONS['MEMBERS_OF'] is required with your own cluster model.", hint=hint, id="klaxon.E007")
        return
    yield from _check_callable(path, "MEMBERS_OF", 1, hint, "klaxon.E007")


def check_message_recipients() -> Messages:
    name = conf.current().message_recipients
    if is_dotted_path(name):
        hint = "Set it to the dotted path of a callable(cluster) that returns recipients, or to the name of a group."
        yield from _check_callable(name, "MESSAGE_RECIPIENTS", 1, hint, "klaxon.E014")


def check_preferences() -> Messages:
    path = conf.current().preferences
    hint = "Set it to the dotted path of a class with a method load(cluster, user_ids)."
    yield from (faults := list(_check_callable(path, "PREFERENCES", None, hint, "klaxon.E012")))
    if not faults and not callable(getattr(import_string(path), "load", None)):
        message = f"NOTIFICATIONS['PREFERENCES'] is {path!r}, which has no method load()."
        yield Error(message, hint=hint, id="klaxon.E012")


def check_digest_sections() -> Messages:
    if path := conf.current().digest_sections:
        hint = "Set it to the dotted path of a function (cluster, users, digest_kind, since, until), or remove it."
        yield from _check_callable(path, "DIGEST_SECTIONS", 5, hint, "klaxon.E013")


def check_theme_of() -> Messages:
    if path := conf.current().theme_of:
        hint = (
            "Set it to the dotted path of a function (cluster, event) that returns a dict such as THEME, or remove it."
        )
        yield from _check_callable(path, "THEME_OF", 2, hint, "klaxon.E016")


def check_topics_of() -> Messages:
    if path := conf.current().topics_of:
        hint = "Set it to the dotted path of a function (cluster, user) that returns topics, or remove it."
        yield from _check_callable(path, "TOPICS_OF", 2, hint, "klaxon.E017")


def _check_callable(path: str, key: str, count: int | None, hint: str, identifier: str) -> Messages:
    """
    :param count: the number of arguments that Klaxon calls it with; None if the check ignores them.
    """
    setting = f"NOTIFICATIONS[{key!r}]"
    try:
        found = import_string(path)
    except ImportError as error:
        yield Error(f"{setting} cannot be imported: {error}.", hint=hint, id=identifier)
        return
    if not callable(found):
        yield Error(f"{setting} is {found!r}, not a callable.", hint=hint, id=identifier)
    elif count is not None and not accepts_arguments(found, count):
        arguments = "one argument" if count == 1 else f"{count} arguments"
        yield Error(f"{setting} is {path!r}, which does not accept {arguments}.", hint=hint, id=identifier)


def accepts_arguments(function: Any, count: int) -> bool:
    """Whether a function accepts this number of positional arguments. True if its signature is unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
