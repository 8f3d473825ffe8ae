"""Store the values of a context as JSON that keeps their types.

JSON has no dates or decimals, so such values are stored with a tag, as in ``{"$date": "2026-11-20"}``. A mapping with a
key that begins with ``$`` is wrapped as ``{"$dict": …}``, so that no value of a host can be mistaken for a tag.

A lazy translation is stored as its function with its arguments, such as ``{"$lazy": ["gettext", ["Monday"], {}]}``. It
is lazy again when it is decoded: it uses the language that is active when it is rendered.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone, translation
from django.utils.functional import Promise

from notifications.core.translations import (
    TranslationCall,
    get_translation_call,
    has_lazy_text,
    make_lazy_text,
    resolve_lazy_texts,
)
from notifications.events import NotificationEvent
from notifications.exceptions import InvalidContext

logger = logging.getLogger("notifications.context")

MAX_INTEGER_BITS = 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL cannot store NUL characters in text, and UTF-8 cannot encode half of a surrogate pair.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# The order matters: a datetime is also a date.
TAGS: tuple[tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    ("$datetime", datetime, lambda value: _make_aware(value).isoformat(), datetime.fromisoformat),
    ("$date", date, date.isoformat, date.fromisoformat),
    ("$time", time, time.isoformat, time.fromisoformat),
    ("$seconds", timedelta, timedelta.total_seconds, lambda value: timedelta(seconds=value)),
    ("$decimal", Decimal, str, Decimal),
    ("$uuid", UUID, str, UUID),
)
TAG_DECODERS: dict[str, Callable[[Any], Any]] = {tag: decode for tag, _type, _encode, decode in TAGS}
LAZY = "$lazy"


def _make_aware(value: datetime) -> datetime:
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def encoded(value: Any, path: str = "context") -> Any:
    """Return ``value`` as plain JSON.

    :param path: the name of the value in error messages.
    :raises InvalidContext: if a part cannot be stored. The message names its path.
    """
    if isinstance(value, Enum):
        return encoded(value.value, path)
    if isinstance(value, str):
        text = str(value)
        if UNSTORABLE.search(text):
            raise InvalidContext(_format_unstorable_error(path))
        return text
    if isinstance(value, Promise):
        return _encode_lazy_text(value, path)
    if value is None or isinstance(value, bool | int):
        if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            raise InvalidContext(
                f"{path} is an integer of {value.bit_length()} bits; at most {MAX_INTEGER_BITS} can be stored."
            )
        return value
    return _encode_number_or_collection(value, path)


def _format_unstorable_error(path: str) -> str:
    return f"{path} contains a NUL character or half of a surrogate pair, which a database cannot store."


def _encode_lazy_text(value: Promise, path: str) -> Any:
    try:
        call = get_translation_call(value)
        stored = {LAZY: [call.name, encoded(call.args, path), encoded(call.kwargs, path)]}
        is_unchanged = str(decoded(stored)) == str(value)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise InvalidContext(_format_lazy_error(path, str(error))) from error
    if not is_unchanged:
        raise InvalidContext(_format_lazy_error(path, "its text changes when its arguments are stored"))
    return stored


def _format_lazy_error(path: str, why: str) -> str:
    return (
        f"{path} cannot be stored as a lazy text: {why.rstrip('.')}. Pass str(…) of it, in the language that is active "
        "now, or a plain value that the template translates. Klaxon can store lazy texts of gettext_lazy, "
        "pgettext_lazy, ngettext_lazy and npgettext_lazy with a number, and of format_lazy with these and plain values."
    )


def _encode_number_or_collection(value: Any, path: str) -> Any:
    for tag, kind, encode, _decode in TAGS:
        if isinstance(value, kind):
            return {tag: encode(value)}
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    if isinstance(value, Mapping):
        return _encode_mapping(value, path)
    if isinstance(value, set | frozenset):
        # Sorted, so that the same set has the same hash in every process.
        return sorted((encoded(item, path) for item in value), key=lambda item: json.dumps(make_comparable(item)))
    if isinstance(value, list | tuple):
        return [encoded(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise InvalidContext(
        f"{path} is a {type(value).__name__} ({to_safe_text(value):.80}), which cannot be stored. "
        "Pass plain values; for a model instance, declare the fields to store with notifications.context.Fields in the "
        "event's context."
    )


def _encode_mapping(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise InvalidContext(f"{path} has the key {wrong[0]!r}; keys must be strings.")
    if any(UNSTORABLE.search(key) for key in value):
        raise InvalidContext(_format_unstorable_error(path))
    return wrap_tags({key: encoded(item, f"{path}.{key}") for key, item in value.items()})


def wrap_tags(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping, wrapped as ``$dict`` if one of its keys looks like a tag."""
    for key in plain:
        if key.startswith("$"):
            return {"$dict": plain}
    return plain


CONTAINERS = (dict, list)


def decoded(value: Any) -> Any:
    """Return the value that :func:`encoded` was called with, including dates, decimals and UUIDs.

    :raises InvalidContext: if a tag has a value that ``encoded`` never returns, for example after an edit by hand.
    """
    if isinstance(value, list):
        return [decoded(item) if isinstance(item, CONTAINERS) else item for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(tag, inner)] = value.items()
        if tag in TAG_DECODERS:
            return _decode_tag(tag, inner)
        if tag == "$dict":
            value = _check_mapping(inner)
    return {key: decoded(item) if isinstance(item, CONTAINERS) else item for key, item in value.items()}


def _decode_tag(tag: str, inner: Any) -> Any:
    try:
        return TAG_DECODERS[tag](inner)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InvalidContext(f"{tag} cannot be {to_safe_text(inner)!a:.80}.") from error


def _decode_lazy_text(inner: Any) -> Promise:
    name, args, kwargs = inner
    return make_lazy_text(TranslationCall(name, tuple(map(decoded, args)), dict(decoded(kwargs))))


TAG_DECODERS[LAZY] = _decode_lazy_text


def _check_mapping(inner: Any) -> dict[str, Any]:
    if not isinstance(inner, dict):
        raise InvalidContext(f"$dict must be a mapping, not {to_safe_text(inner)!a:.80}.")
    return inner


def make_comparable(stored: Any) -> Any:
    """Return an encoded value with its times independent of their UTC offsets, so that equal values compare equal."""
    if isinstance(stored, list):
        return [make_comparable(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    if stored.keys() == {"$datetime"}:
        return {"$datetime": (datetime.fromisoformat(stored["$datetime"]) - EPOCH) // timedelta(microseconds=1)}
    if stored.keys() == {"$dict"}:
        return {"$dict": {key: make_comparable(item) for key, item in stored["$dict"].items()}}
    return {key: make_comparable(item) for key, item in stored.items()}


def to_safe_text(value: Any) -> str:
    """Return a text for any value, of at most 1000 characters.

    It never fails, because a CRITICAL notification must be sent even if its context contains broken objects.
    """
    try:
        return str(value)[:1000]
    except Exception:
        logger.exception("str() of a value of type %s failed.", type(value).__name__)
        return f"<{type(value).__name__}>"


def select_loggable(event: NotificationEvent, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a stored context that its event marks as loggable.

    Lazy texts are translated into the language of the site. Values that JSON cannot represent are texts.
    """
    if not event.loggable:
        return {}
    inner = stored.get("$dict", stored)
    values = {key: decoded(inner[key]) for key in event.loggable if key in inner}
    if has_lazy_text(values):
        with translation.override(settings.LANGUAGE_CODE):
            values = resolve_lazy_texts(values)
    return {key: value if encoded(value) == value else str(value) for key, value in values.items()}
