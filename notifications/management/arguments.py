"""Parse command line arguments: a recipient, a context, or a row by its primary key."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from notifications.conf import get_site_address_kinds
from notifications.context import UNSTORABLE, decoded
from notifications.exceptions import InvalidContext
from notifications.models import get_cluster_model
from notifications.recipients import Address


def parse_context(text: str | None) -> Any:
    """Return the context in a JSON text. Other types have the form in which they are stored: ``{"$date": …}``.

    :raises CommandError: if the text is not valid JSON, or a value does not have its type.
    """
    try:
        return None if text is None else decoded(json.loads(text))
    except InvalidContext as error:
        raise CommandError(f"--context contains an invalid value: {error}") from error
    except RecursionError as error:
        raise CommandError("--context is nested too deeply.") from error
    except ValueError as error:
        raise CommandError(f"--context must be JSON: {error}") from error


def parse_address(texts: Sequence[str]) -> Address:
    """
    :param texts: such as ``email=contact@example.com``, each with a different kind.
    :raises CommandError: if a text does not have this form, or no channel of the site sends to its kind.
    """
    addresses: dict[str, str] = {}
    for text in texts:
        kind, _equals, value = text.partition("=")
        if not kind or not value.strip():
            raise CommandError("--address requires a kind and an address, such as email=contact@example.com.")
        if kind in addresses:
            raise CommandError(f"--address names the kind {kind} twice. A recipient has one address of each kind.")
        addresses[kind] = value
    _check_kinds(addresses)
    return Address(**addresses)


def _check_kinds(kinds: Iterable[str]) -> None:
    known = get_site_address_kinds()
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise CommandError(
            f"--address: no channel of this site sends to the kind {unknown[0]!r}. Known kinds: {names}."
        )


def parse_recipient(text: str, option: str) -> Any:
    """Return the user with a login name or primary key, or the address: ``KIND=ADDRESS``, or an email address.

    :raises CommandError: if there is no such user, and the text is not an address.
    """
    if "=" in text:
        return parse_address([text])
    try:
        return get_user(text, option)
    except CommandError:
        if "@" not in text:
            raise
    return parse_address([f"email={text}"])


def get_user(name: str, option: str) -> Any:
    """Return the user with a login name, or else with a primary key.

    :raises CommandError: if there is no such user.
    """
    model = get_user_model()
    by_login_name = {model.USERNAME_FIELD: name}
    is_storable = not UNSTORABLE.search(name)
    return (is_storable and model._default_manager.filter(**by_login_name).first()) or get_row(model, name, option)


def get_cluster(key: str) -> Any:
    """
    :raises CommandError: if no cluster has the primary key that ``--cluster`` names.
    """
    return get_row(get_cluster_model(), key, "--cluster")


def get_row(model: Any, key: str, option: str) -> Any:
    """
    :raises CommandError: if there is no row with this primary key.
    """
    try:
        return model._default_manager.get(pk=key)
    except (model.DoesNotExist, ValueError, OverflowError, ValidationError) as error:
        raise CommandError(f"{option}: there is no {model._meta.verbose_name} {key!r}.") from error
