"""Validate the context of a call against the declaration of its event.

The context of a CRITICAL event is never refused. If ``ON_BAD_CALL`` is ``"log"``, the context of another event is
refused only if it is not a mapping. The usable values are sent, and the result contains a sentence for each problem and
each omission.
"""

import bisect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notifications import conf
from notifications.context.narrowing import has_fields, narrow
from notifications.context.storage import UNSTORABLE, encoded, to_safe_text, wrap_tags
from notifications.events import NotificationEvent, NotificationPriority
from notifications.events.annotations import find_mismatches, format_type, matches_type
from notifications.exceptions import InvalidContext

# A text that would have to be cut to less than this is left out.
MIN_TEXT_LENGTH = 40
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
MAX_LISTED_KEYS = 10
MAX_PROBLEMS = 100
PLAIN_TYPES = (str, int, float)
NOT_STORED: Any = object()
"""Stands for a value that must not be stored."""


@dataclass(frozen=True)
class ValidatedContext:
    """A context that may be sent.

    :param stored: the context in its stored form.
    :param problems: a sentence for each problem and each omission; empty unless the context is sent despite problems.
    :param has_dedup_keys: whether it has every field of the event's deduplication key. If not, nothing is a duplicate
        of it.
    """

    stored: dict[str, Any]
    problems: tuple[str, ...] = ()
    has_dedup_keys: bool = True


class _Problems:
    """The problems of a context."""

    def __init__(self, event: NotificationEvent) -> None:
        self.event = event
        self.is_critical = event.priority == NotificationPriority.CRITICAL
        self.is_lenient = self.is_critical or conf.current().on_bad_call == "log"
        self.sentences: list[str] = []
        self.keys: set[str] = set()

    def add(self, sentence: str, *keys: str) -> None:
        self.keys.update(keys)
        if len(self.sentences) < MAX_PROBLEMS:
            self.sentences.append(sentence)

    def add_about_value(self, sentence: str, key: str) -> None:
        """Add a sentence that may quote a part of a value. If the event is sensitive, it names only the key."""
        self.add(f"{key!r} has a part that cannot be used." if self.event.sensitive else sentence, key)

    def refuse(self) -> None:
        """Refuse the context because of its problems, unless it is sent despite them.

        :raises InvalidContext: with all problems in the message.
        """
        if not self.is_lenient:
            raise InvalidContext(f"The context of event {self.event.name!r} is wrong: {' '.join(self.sentences)}")


def validated(event: NotificationEvent, context: Mapping[str, Any] | None) -> ValidatedContext:
    """Validate a context against the declaration of its event and return its stored form.

    :raises InvalidContext: with all problems in one message, unless the context is sent despite them.
    """
    problems = _Problems(event)
    given = _select_usable_keys(context, problems)
    _check_keys(event, given, problems)
    plain: dict[str, Any] = {}
    for key, value in given.items():
        if event.context is None or key in event.context:
            kept = _to_stored(event, key, value, problems)
            if kept is not NOT_STORED:
                plain[key] = kept
    if problems.sentences:
        problems.refuse()
    stored, limit = wrap_tags(plain), conf.current().context_bytes
    size = len(json.dumps(stored))
    # Every worker that delivers to one of its recipients reads the context.
    if size > limit:
        problems.add(
            f"It has {size} bytes; NOTIFICATIONS['CONTEXT_BYTES'] allows {limit}. "
            "Pass an id or a link instead of the content."
        )
        problems.refuse()
        plain = _shorten(plain, size - limit, problems)
        stored = wrap_tags(plain)
    has_dedup_keys = not event.dedup_keys or _has_dedup_keys(event, plain, problems)
    return ValidatedContext(stored, tuple(problems.sentences), has_dedup_keys)


def _select_usable_keys(context: Any, problems: _Problems) -> dict[str, Any]:
    """Return the values with usable keys."""
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        shown = f"a {type(context).__name__}" if problems.event.sensitive else f"{to_safe_text(context):.80}"
        problems.add(f"It must be a mapping, not {shown}.")
        # Such a context has no values to send.
        problems.is_lenient = problems.is_critical
        problems.refuse()
        return {}
    usable = {}
    for key, value in context.items():
        if isinstance(key, str) and not UNSTORABLE.search(key):
            usable[key] = value
        else:
            shown = f"a key of the type {type(key).__name__}" if problems.event.sensitive else f"the key {key!a}"
            problems.add(f"It has {shown}; keys must be plain strings.")
    return usable


def _check_keys(event: NotificationEvent, given: Mapping[str, Any], problems: _Problems) -> None:
    if event.context is None:
        return
    for key in sorted(given.keys() - event.context.keys()):
        names = ", ".join(sorted(event.context)) or "none"
        problems.add(f"{key!r} is not declared (declared: {names}).", key)
    for key, kind in event.context.items():
        if key not in given and not matches_type(None, kind):
            problems.add(f"{key!r} is missing.", key)


def _to_stored(event: NotificationEvent, key: str, value: Any, problems: _Problems) -> Any:
    """Return the value as plain JSON, or ``NOT_STORED`` if no part of it may be stored."""
    path = repr(key)
    kind = None if event.context is None else event.context[key]
    # Most values are plain and of exactly the declared type; they need no more than to be encoded.
    if event.context is not None and not (type(value) is kind and kind in PLAIN_TYPES):
        may_be_secret = has_fields(kind)
        wrong = next(find_mismatches(value, kind, path), None)
        if wrong is not None:
            where, part, wanted = wrong
            is_hidden = may_be_secret or event.sensitive
            shown = f"a {type(part).__name__}" if is_hidden else _quote(part)
            problems.add(f"{path if event.sensitive else where} is {shown}, not {format_type(wanted)}.", key)
            if may_be_secret and not isinstance(value, PLAIN_TYPES):
                return NOT_STORED
        elif may_be_secret:
            value = narrow(value, kind, path, lambda fault: problems.add_about_value(fault, key), problems.is_lenient)
    try:
        return _encode(value, f"context[{path}]", key, problems)
    except RecursionError:
        problems.add(f"{path} is nested too deeply to be stored.", key)
        return _to_plain_text(value)


def _quote(value: Any) -> str:
    """Return a value as text for a message; a text in quotes, because ``"5"`` would otherwise look like a number."""
    return f"the text {value!r:.80}" if isinstance(value, str) else f"{to_safe_text(value):.80}"


def _encode(value: Any, path: str, key: str, problems: _Problems) -> Any:
    try:
        return encoded(value, path)
    except InvalidContext as error:
        return _encode_parts(value, path, key, problems, error)


def _encode_parts(value: Any, path: str, key: str, problems: _Problems, error: InvalidContext) -> Any:
    """Encode the parts of a collection one by one, and replace parts that cannot be stored by their text."""
    if isinstance(value, Mapping) and all(isinstance(name, str) and not UNSTORABLE.search(name) for name in value):
        return wrap_tags({str(name): _encode(item, f"{path}.{name}", key, problems) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return [_encode(item, f"{path}[{index}]", key, problems) for index, item in enumerate(value)]
    problems.add_about_value(str(error), key)
    return _to_plain_text(value)


def _to_plain_text(value: Any) -> str:
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", to_safe_text(value))


def _has_dedup_keys(event: NotificationEvent, stored: Mapping[str, Any], problems: _Problems) -> bool:
    """Return whether every field of the deduplication key is present, or declared as optional.

    Two contexts that both lack a field are not necessarily equal.
    """
    keys = set(event.dedup_keys)
    return not keys & problems.keys and (event.context is not None or keys <= stored.keys())


def _shorten(stored: dict[str, Any], excess: int, problems: _Problems) -> dict[str, Any]:
    """Remove ``excess`` bytes, starting with the largest values: cut a text, leave out any other value."""
    kept, left_out = dict(stored), []
    for key in sorted(stored, key=lambda key: -_count_bytes(stored[key])):
        if excess <= 0:
            break
        size = _count_bytes(stored[key])
        text = _cut(stored[key], size - excess) if isinstance(stored[key], str) else ""
        if len(text) >= MIN_TEXT_LENGTH:
            kept[key] = text
            problems.add(f"{key!r} was cut after {len(text) - 1} of {len(stored[key])} characters.", key)
            break
        del kept[key]
        left_out.append(key)
        excess -= size + _count_bytes(key) + len(": , ")
    if left_out:
        more = f" and {len(left_out) - MAX_LISTED_KEYS} more" if len(left_out) > MAX_LISTED_KEYS else ""
        problems.add(f"Left out: {', '.join(map(repr, left_out[:MAX_LISTED_KEYS]))}{more}.", *left_out)
    return kept


def _cut(text: str, max_bytes: int) -> str:
    """Return the beginning of a text, with an ellipsis, in at most ``max_bytes`` bytes."""
    length = bisect.bisect_right(range(len(text)), max_bytes, key=lambda count: _count_bytes(text[:count] + ELLIPSIS))
    return text[: length - 1] + ELLIPSIS if length > 1 else ""


def _count_bytes(value: Any) -> int:
    return len(json.dumps(value))
