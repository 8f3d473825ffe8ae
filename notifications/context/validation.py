"""The context of a call, checked against what its event declares.

The context of a CRITICAL event is never refused. Where ``ON_BAD_CALL`` is ``"log"``, that of another event is refused
only if it is no mapping. What exists is sent, and each thing that is wrong with it, or was left out of it, is a
sentence of the result.
"""

import bisect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notifications import conf
from notifications.context.narrowing import has_fields, narrowed
from notifications.context.storage import UNSTORABLE, as_text, encoded, wrapped
from notifications.events import NotificationEvent, NotificationPriority
from notifications.events.annotations import fits, misfits, name_of
from notifications.exceptions import InvalidContext

# A text that would have to be shorter than this is left out instead of being cut.
SHORTEST_TEXT = 40
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
MOST_NAMES = 10
MOST_SENTENCES = 100
PLAIN = (str, int, float)
ABSENT: Any = object()
"""Stands for a value that is not stored."""


@dataclass(frozen=True)
class CheckedContext:
    """A context that may be sent.

    :param stored: as it is stored.
    :param problems: what is wrong with it or was left out of it, a sentence each; empty unless it is sent all the same.
    :param tells_apart: whether it has every value by which its event knows a repeat. If not, nothing is a repeat of it.
    """

    stored: dict[str, Any]
    problems: tuple[str, ...] = ()
    tells_apart: bool = True


class _Findings:
    """What is wrong with a context."""

    def __init__(self, event: NotificationEvent) -> None:
        self.event = event
        self.is_critical = event.priority == NotificationPriority.CRITICAL
        self.is_lenient = self.is_critical or conf.current().on_bad_call == "log"
        self.sentences: list[str] = []
        self.keys: set[str] = set()

    def add(self, sentence: str, *keys: str) -> None:
        self.keys.update(keys)
        if len(self.sentences) < MOST_SENTENCES:
            self.sentences.append(sentence)

    def refuse(self) -> None:
        """
        :raises InvalidContext: with every problem, if there is one and the event must not be sent with it.
        """
        if self.sentences and not self.is_lenient:
            raise InvalidContext(f"The context of event {self.event.name!r} is wrong: {' '.join(self.sentences)}")


def validated(event: NotificationEvent, context: Mapping[str, Any] | None) -> CheckedContext:
    """The context as it is stored, checked against the event's declaration.

    :raises InvalidContext: with every problem in one message, unless it is sent all the same.
    """
    found = _Findings(event)
    given = _usable(context, found)
    _check_keys(event, given, found)
    values = {key: value for key, value in given.items() if event.context is None or key in event.context}
    stored = {key: kept for key, value in values.items() if (kept := _stored(event, key, value, found)) is not ABSENT}
    found.refuse()
    stored = _bounded(stored, found)
    return CheckedContext(wrapped(stored), tuple(found.sentences), _tells_apart(event, stored, found))


def _usable(context: Any, found: _Findings) -> dict[str, Any]:
    """What of a context has usable keys."""
    if context is not None and not isinstance(context, Mapping):
        found.add(f"It must be a mapping, not {as_text(context):.80}.")
        # Of such a context nothing exists that could be sent.
        found.is_lenient = found.is_critical
        found.refuse()
        return {}
    wrong = [key for key in context or () if not isinstance(key, str) or UNSTORABLE.search(key)]
    for key in wrong:
        found.add(f"It has the key {key!a}; keys must be plain strings.")
    return {key: value for key, value in (context or {}).items() if key not in wrong}


def _check_keys(event: NotificationEvent, given: Mapping[str, Any], found: _Findings) -> None:
    declared = given.keys() if event.context is None else event.context
    for key in sorted(given.keys() - declared):
        names = ", ".join(sorted(declared)) or "none"
        found.add(f"{key!r} is not declared (declared: {names}).", key)
    for key, kind in (event.context or {}).items():
        if key not in given and not fits(None, kind):
            found.add(f"{key!r} is missing.", key)


def _stored(event: NotificationEvent, key: str, value: Any, found: _Findings) -> Any:
    """The value as plain JSON; ``ABSENT`` if nothing of it may be stored."""
    path = repr(key)
    if event.context is not None:
        kind = event.context[key]
        may_be_secret = has_fields(kind)
        wrong = next(misfits(value, kind, path), None)
        if wrong is not None:
            where, part, wanted = wrong
            told = f"a {type(part).__name__}" if may_be_secret else _shown(part)
            found.add(f"{where} is {told}, not {name_of(wanted)}.", key)
            if may_be_secret and not isinstance(value, PLAIN):
                return ABSENT
        elif may_be_secret:
            value = narrowed(value, kind, path, lambda fault: found.add(fault, key), found.is_lenient)
    try:
        return _encoded(value, f"context[{path}]", key, found)
    except RecursionError:
        found.add(f"{path} is nested too deeply to be stored.", key)
        return _plain_text(value)


def _shown(value: Any) -> str:
    """A text in quotes, or "5" would look like the number that is wanted."""
    return f"the text {value!r:.80}" if isinstance(value, str) else f"{as_text(value):.80}"


def _encoded(value: Any, path: str, key: str, found: _Findings) -> Any:
    try:
        return encoded(value, path)
    except InvalidContext as error:
        return _encoded_in_parts(value, path, key, found, error)


def _encoded_in_parts(value: Any, path: str, key: str, found: _Findings, error: InvalidContext) -> Any:
    """What can be stored of a collection stays as it is; what cannot is stored as its text."""
    if isinstance(value, Mapping) and all(isinstance(name, str) and not UNSTORABLE.search(name) for name in value):
        return wrapped({str(name): _encoded(item, f"{path}.{name}", key, found) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return [_encoded(item, f"{path}[{index}]", key, found) for index, item in enumerate(value)]
    found.add(str(error), key)
    return _plain_text(value)


def _plain_text(value: Any) -> str:
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", as_text(value))


def _tells_apart(event: NotificationEvent, stored: Mapping[str, Any], found: _Findings) -> bool:
    """What lacks a value too need not be the same, unless the event allows that there is none."""
    keys = set(event.dedup_keys)
    return not keys & found.keys and (event.context is not None or keys <= stored.keys())


def _bounded(stored: dict[str, Any], found: _Findings) -> dict[str, Any]:
    """A context is stored once, and read by every worker that delivers to any of its recipients."""
    size, limit = _size(wrapped(stored)), conf.current().context_bytes
    if size <= limit:
        return stored
    found.add(
        f"It has {size} bytes; NOTIFICATIONS['CONTEXT_BYTES'] allows {limit}. "
        "Pass an id or a link instead of the thing itself."
    )
    found.refuse()
    return _shortened(stored, size - limit, found)


def _shortened(stored: dict[str, Any], excess: int, found: _Findings) -> dict[str, Any]:
    """Without as much of the largest values as is too much: a text is cut, anything else is left out."""
    kept, left_out = dict(stored), []
    for key in sorted(stored, key=lambda key: -_size(stored[key])):
        if excess <= 0:
            break
        size = _size(stored[key])
        text = _prefix(stored[key], size - excess) if isinstance(stored[key], str) else ""
        if len(text) >= SHORTEST_TEXT:
            kept[key] = text
            found.add(f"{key!r} is cut after {len(text) - 1} of {len(stored[key])} characters.", key)
            break
        del kept[key]
        left_out.append(key)
        excess -= size + _size(key) + len(": , ")
    if left_out:
        more = f" and {len(left_out) - MOST_NAMES} more" if len(left_out) > MOST_NAMES else ""
        found.add(f"Left out: {', '.join(map(repr, left_out[:MOST_NAMES]))}{more}.", *left_out)
    return kept


def _prefix(text: str, room: int) -> str:
    """The beginning of a text, with an ellipsis, that takes no more than so many bytes."""
    length = bisect.bisect_right(range(len(text)), room, key=lambda count: _size(text[:count] + ELLIPSIS))
    return text[: length - 1] + ELLIPSIS if length > 1 else ""


def _size(value: Any) -> int:
    return len(json.dumps(value))
