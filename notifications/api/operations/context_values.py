"""Turns the JSON of a context into the types that the event declares, such as a text into a date."""

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils import timezone
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from notifications.events import NOTIFICATION_EVENTS


def read_context(event_name: str, context: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a context with the types that its event declares.

    A value that does not fit stays as it is, so that ``send()`` reports it in the words that it always uses.
    """
    event = NOTIFICATION_EVENTS.named(event_name)
    declared = event.context if event is not None else None
    if not context or not declared:
        return context
    return {name: _read(value, declared[name]) if name in declared else value for name, value in context.items()}


def _read(value: Any, annotation: Any) -> Any:
    try:
        adapter = _get_adapter(annotation)
        # In the mode for JSON, texts become dates and so on; strictly, "1" does not become 1.
        found = adapter.validate_json(json.dumps(value), strict=True) if adapter else value
    except (ValidationError, ValueError):
        return value
    # Without an offset, a time would be one in the time zone of the site.
    is_naive = isinstance(found, datetime) and timezone.is_naive(found)
    return value if is_naive else found


@lru_cache(maxsize=1000)
def _get_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what reads a type, or None for a type that only Klaxon knows, such as ``Fields(…)``."""
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=False))
    except (PydanticUserError, TypeError):
        return None
