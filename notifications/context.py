"""The context of a notification: checked against what its event declares, and stored as JSON that keeps its types.

JSON knows no dates or decimals, so such values are stored as ``{"$date": "2026-11-20"}``. A mapping that itself has a
key beginning with ``$`` is wrapped as ``{"$dict": …}``; nothing that a host stores can be mistaken for a tag.

A lazy translation is stored as its function with its arguments, such as ``{"$lazy": ["gettext", ["Monday"], {}]}``, and
comes back lazy: it takes the language that is active when it is rendered.
"""

import json
import logging
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Model
from django.utils import timezone, translation
from django.utils.functional import Promise

from notifications import conf
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import InvalidContext
from notifications.translations import Call, call_of, has_lazy_text, in_words, lazy_text

logger = logging.getLogger("notifications.context")

# PostgreSQL stores neither in text; UTF-8 cannot write half a pair.
MOST_BITS = 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Fields:
    """Declares that a context value is a model instance, of which only these fields are taken.

    ``context={"order": Fields("number", "total")}`` lets a host pass ``{"order": order}``; templates get a mapping.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def taken_from(self, instance: Any) -> Any:
        return {name: getattr(instance, name) for name in self.names} if isinstance(instance, Model) else instance


# The order matters: a datetime is also a date.
TAGS: tuple[tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    ("$datetime", datetime, lambda value: _aware(value).isoformat(), datetime.fromisoformat),
    ("$date", date, date.isoformat, date.fromisoformat),
    ("$time", time, time.isoformat, time.fromisoformat),
    ("$seconds", timedelta, timedelta.total_seconds, lambda value: timedelta(seconds=value)),
    ("$decimal", Decimal, str, Decimal),
    ("$uuid", UUID, str, UUID),
)
DECODERS: dict[str, Callable[[Any], Any]] = {tag: decode for tag, _type, _encode, decode in TAGS}
LAZY = "$lazy"


def _aware(value: datetime) -> datetime:
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def encoded(value: Any, path: str = "context") -> Any:
    """``value`` as plain JSON.

    :raises InvalidContext: naming the path of what cannot be stored.
    """
    if isinstance(value, Enum):
        return encoded(value.value, path)
    if isinstance(value, str):
        return _storable(str(value), path)
    if isinstance(value, Promise):
        return _encoded_lazily(value, path)
    if value is None or isinstance(value, bool | int):
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise InvalidContext(f"{path} is a number of {value.bit_length()} bits.")
        return value
    return _encoded_number_or_collection(value, path)


def _storable(text: str, path: str) -> str:
    if UNSTORABLE.search(text):
        raise InvalidContext(f"{path} holds a NUL character or half of a surrogate pair, which no database stores.")
    return text


def _encoded_lazily(value: Promise, path: str) -> Any:
    try:
        call = call_of(value)
        stored = {LAZY: [call.name, encoded(call.args, path), encoded(call.kwargs, path)]}
        is_kept = str(decoded(stored)) == str(value)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise InvalidContext(_cannot_stay_lazy(path, str(error))) from error
    if not is_kept:
        raise InvalidContext(_cannot_stay_lazy(path, "its arguments are written otherwise once they are stored"))
    return stored


def _cannot_stay_lazy(path: str, why: str) -> str:
    return (
        f"{path} cannot be kept until the language of its reader is known: {why.rstrip('.')}. Pass str(…) of it, in "
        "the language that is active now, or a plain value that the template translates. What can be kept are "
        "gettext_lazy, pgettext_lazy, ngettext_lazy and npgettext_lazy with their number, and format_lazy of these and "
        "plain values."
    )


def _encoded_number_or_collection(value: Any, path: str) -> Any:
    for tag, kind, encode, _decode in TAGS:
        if isinstance(value, kind):
            return {tag: encode(value)}
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    if isinstance(value, Mapping):
        return _encoded_mapping(value, path)
    if isinstance(value, set | frozenset):
        # In one order, or the same content would have another hash in the next process.
        return sorted((encoded(item, path) for item in value), key=lambda item: json.dumps(comparable(item)))
    if isinstance(value, list | tuple):
        return [encoded(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise InvalidContext(
        f"{path} is a {type(value).__name__} ({_text(value):.80}), which cannot be stored. Pass plain values; for a "
        "model instance declare which fields are taken, with notifications.context.Fields, in the event's context."
    )


def _encoded_mapping(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise InvalidContext(f"{path} has the key {wrong[0]!r}; keys must be strings.")
    plain = {_storable(key, path): encoded(item, f"{path}.{key}") for key, item in value.items()}
    return _wrapped(plain)


def _wrapped(plain: dict[str, Any]) -> dict[str, Any]:
    return {"$dict": plain} if any(key.startswith("$") for key in plain) else plain


def decoded(value: Any) -> Any:
    """What :func:`encoded` was given, with dates, decimals and UUIDs as themselves.

    :raises InvalidContext: if a tag has a value that ``encoded`` never gave it, as a person may write it.
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(tag, inner)] = value.items()
        if tag in DECODERS:
            return _decoded_tag(tag, inner)
        if tag == "$dict":
            value = _mapping_of_tag(inner)
    return {key: decoded(item) for key, item in value.items()}


def _decoded_tag(tag: str, inner: Any) -> Any:
    try:
        return DECODERS[tag](inner)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InvalidContext(f"{tag} cannot be {_text(inner)!a:.80}.") from error


def _decoded_lazily(inner: Any) -> Promise:
    name, args, kwargs = inner
    return lazy_text(Call(name, tuple(map(decoded, args)), dict(decoded(kwargs))))


DECODERS[LAZY] = _decoded_lazily


def _mapping_of_tag(inner: Any) -> dict[str, Any]:
    if not isinstance(inner, dict):
        raise InvalidContext(f"$dict must be a mapping, not {_text(inner)!a:.80}.")
    return inner


def comparable(stored: Any) -> Any:
    """What :func:`encoded` gave, with an instant written in one way, whatever its offset from UTC."""
    if isinstance(stored, list):
        return [comparable(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    if stored.keys() == {"$datetime"}:
        return {"$datetime": (datetime.fromisoformat(stored["$datetime"]) - EPOCH) // timedelta(microseconds=1)}
    if stored.keys() == {"$dict"}:
        return {"$dict": {key: comparable(item) for key, item in stored["$dict"].items()}}
    return {key: comparable(item) for key, item in stored.items()}


def loggable(event: NotificationEvent, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stored context, only what its event marks as loggable, in plain words and in the language of the site."""
    inner = stored.get("$dict", stored)
    values = {key: decoded(inner[key]) for key in event.loggable if key in inner}
    if has_lazy_text(values):
        with translation.override(settings.LANGUAGE_CODE):
            values = in_words(values)
    return {key: value if encoded(value) == value else str(value) for key, value in values.items()}


def validated(event: NotificationEvent, context: Mapping[str, Any] | None) -> dict[str, Any]:
    """The context as it is stored, checked against the event's declaration.

    A CRITICAL event with missing or malformed fields is not refused: what is wrong is logged as an error, and what
    exists is sent.

    :raises InvalidContext: with every problem in one message; also if it is too large, CRITICAL or not.
    """
    given, unreadable = _mapping(context)
    problems = [*unreadable, *_problems(event, given)]
    if problems and event.priority != NotificationPriority.CRITICAL:
        raise InvalidContext(f"The context of event {event.name!r} is wrong: {' '.join(problems)}")
    for problem in problems:
        logger.error("Critical event %r is sent with a wrong context. %s", event.name, problem)
    stored = _wrapped({key: _stored(event, key, value) for key, value in given.items()})
    _bounded(event, stored)
    return stored


def tells_apart(event: NotificationEvent, context: Mapping[str, Any] | None) -> bool:
    """Whether the context has every value by which the event knows a repeat, as it is declared.

    Only of a CRITICAL event, or of one that declares no context, one can be missing or malformed; whatever else lacks
    it too need not be the same.
    """
    given, _unreadable = _mapping(context)
    if event.context is None:
        return all(key in given for key in event.dedup_keys)
    return all(_fits(given.get(key), event.context[key]) for key in event.dedup_keys)


def _bounded(event: NotificationEvent, stored: dict[str, Any]) -> None:
    """A context is stored once, and read by every worker that delivers to any of its recipients."""
    size, limit = len(json.dumps(stored)), conf.current().context_bytes
    if size > limit:
        raise InvalidContext(
            f"The context of event {event.name!r} has {size} bytes; NOTIFICATIONS['CONTEXT_BYTES'] allows {limit}. "
            "Pass an id or a link instead of the thing itself."
        )


def _mapping(context: Any) -> tuple[dict[str, Any], list[str]]:
    """What of a context has usable keys, and what is wrong with the rest."""
    if context is not None and not isinstance(context, Mapping):
        return {}, [f"It must be a mapping, not {_text(context):.80}."]
    wrong = [key for key in context or () if not isinstance(key, str) or UNSTORABLE.search(key)]
    usable = {key: value for key, value in (context or {}).items() if key not in wrong}
    return usable, [f"It has the key {key!a}; keys must be plain strings." for key in wrong]


def _stored(event: NotificationEvent, key: str, value: Any) -> Any:
    declared = (event.context or {}).get(key)
    taken = declared.taken_from(value) if isinstance(declared, Fields) else value
    try:
        return encoded(taken, f"context[{key!r}]")
    except (InvalidContext, RecursionError) as error:
        if event.priority != NotificationPriority.CRITICAL:
            raise InvalidContext(str(error)) from error
        logger.exception("Critical event %r: %r is stored as its text.", event.name, key)
        return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", _text(taken))


def _text(value: Any) -> str:
    """Some text for anything at all: what is critical is sent, however broken the things that it was given."""
    try:
        return str(value)[:1000]
    except Exception:
        logger.exception("A %s cannot even be written as text.", type(value).__name__)
        return f"<{type(value).__name__}>"


def _problems(event: NotificationEvent, given: Mapping[str, Any]) -> typing.Iterator[str]:
    declared = event.context
    if declared is None:
        return
    for key in given.keys() - declared.keys():
        names = ", ".join(sorted(declared)) or "none"
        yield f"{key!r} is not declared (declared: {names})."
    for key, kind in declared.items():
        if key not in given and not _fits(None, kind):
            yield f"{key!r} is missing."
        elif key in given and not _fits(given[key], kind):
            yield f"{key!r} is {_text(given[key]):.80}, not {_name(kind)}."


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, Fields):
        return isinstance(value, Model | Mapping)
    if kind is Any:
        return True
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in typing.get_args(kind))
    plain = typing.get_origin(kind) or kind
    if plain is None or plain is types.NoneType:
        return value is None
    if isinstance(value, bool):
        return plain in (bool, object)
    if isinstance(value, int) and plain in (float, Decimal):
        return True
    return isinstance(value, plain) or (plain is str and isinstance(value, Promise))


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)
