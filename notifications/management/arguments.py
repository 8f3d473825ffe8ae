"""The things of a call as people write them on a command line: a recipient, a context, a row by its key."""

import json
from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from notifications.context import UNSTORABLE, decoded
from notifications.core.channel_classes import get_address_kinds
from notifications.exceptions import InvalidContext
from notifications.models import cluster_model
from notifications.recipients import Address


def context(text: str | None) -> Any:
    """Dates and the like as they are stored: ``{"$date": "2026-11-20"}``.

    :raises CommandError: if it is no JSON, or a value is none of its type.
    """
    try:
        return None if text is None else decoded(json.loads(text))
    except InvalidContext as error:
        raise CommandError(f"--context holds a wrong value: {error}") from error
    except RecursionError as error:
        raise CommandError("--context is nested too deeply.") from error
    except ValueError as error:
        raise CommandError(f"--context must be JSON: {error}") from error


def address(texts: Sequence[str]) -> Address:
    """
    :param texts: such as ``email=contact@example.com``, each of another kind.
    :raises CommandError: if one is not written so, or is of a kind that no channel of the site sends to.
    """
    given: dict[str, str] = {}
    for text in texts:
        kind, _equals, value = text.partition("=")
        if not kind or not value.strip():
            raise CommandError("--address takes a kind and an address: email=contact@example.com.")
        if kind in given:
            raise CommandError(f"--address names the kind {kind} twice; a recipient has one address of a kind.")
        given[kind] = value
    _check_kinds(given)
    return Address(**given)


def _check_kinds(given: dict[str, str]) -> None:
    known = get_address_kinds()
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise CommandError(
            f"--address: no channel of this site sends to the kind {unknown[0]!r}. Known kinds: {names}."
        )


def user(name: str, option: str) -> Any:
    """By login name, or else by primary key.

    :raises CommandError: if there is none.
    """
    users = get_user_model()
    named = {users.USERNAME_FIELD: name}
    is_text = not UNSTORABLE.search(name)
    return (is_text and users._default_manager.filter(**named).first()) or found(users, name, option)


def cluster(key: str) -> Any:
    """
    :raises CommandError: if ``--cluster`` is no primary key of a cluster.
    """
    return found(cluster_model(), key, "--cluster")


def found(model: Any, key: str, option: str) -> Any:
    """
    :raises CommandError: if there is none with this primary key.
    """
    try:
        return model._default_manager.get(pk=key)
    except (model.DoesNotExist, ValueError, OverflowError, ValidationError) as error:
        raise CommandError(f"{option}: there is no {model._meta.verbose_name} {key!r}.") from error
