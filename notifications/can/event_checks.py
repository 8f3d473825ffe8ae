"""Check whether the events that rules name exist, and whether rules give them the context that they declare."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from notifications.conf.problem import suggest
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import UnknownEvent

PLACEHOLDER = re.compile(r"\{(\w+)\}")

Finding = tuple[str, str, str]


def check_event(key: str, name: str, context: Mapping[str, Any] | None, facts: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong: the key that is at fault, a message and a hint.

    :param key: the key that names the event.
    :param context: the context of the rule; None if the event gets the facts that it declares.
    :param facts: the names of the facts that the rule has.
    """
    try:
        declared = NOTIFICATION_EVENTS.find(name).context
    except UnknownEvent as error:
        yield key, str(error), ""
        return
    if context is not None:
        yield from check_placeholders(context, facts)
    given = facts if context is None else context
    for missing in sorted(set(declared or ()) - set(given)):
        yield (
            key if context is None else "context",
            f"The event {name!r} needs {missing!r} in its context.",
            f"Write context with it. Facts that it can contain: {', '.join(sorted(facts))}.",
        )
    if context is not None and declared is not None:
        for extra in sorted(set(context) - set(declared)):
            yield "context", f"The event {name!r} declares no {extra!r}.", suggest(extra, declared, "values")


def check_placeholders(context: Mapping[str, Any], facts: Collection[str]) -> Iterator[Finding]:
    for value in context.values():
        for fact in PLACEHOLDER.findall(value) if isinstance(value, str) else ():
            if fact not in facts:
                yield "context", f"There is no fact {{{fact}}}.", suggest(fact, facts, "facts")
