"""Validate the declaration of an event. Each error message names the event."""

import math
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from notifications.conf import is_permission
from notifications.conf.problem import suggest
from notifications.core.rates import parse_rate
from notifications.core.variants import MAX_VARIANT_LENGTH
from notifications.delays import find_delays_fault
from notifications.events.annotations import find_type_faults
from notifications.events.enums import NotificationPriority
from notifications.events.escalation import normalize_escalation
from notifications.events.inbox import find_action_faults, find_inbox_text_fault
from notifications.events.prefer import find_prefer_faults, find_prefer_type_fault

MAX_DEDUP_WINDOW = 24 * 60 * 60
BATCH_WINDOW_RANGE = (5 * 60, 60 * 60)


def validate_declaration(event: Any) -> None:
    """Validate the types of the values as they were passed, before they are normalised.

    :raises ValueError, TypeError: if one is invalid.
    """
    if not isinstance(event.name, str):
        raise TypeError(f"The name of an event must be a text, not {event.name!r}.")
    _check_priority(event)
    _check_lists(event)
    _check_dicts_by_channel(event)
    if event.on_unknown not in ("retry", "hold"):
        raise ValueError(f'on_unknown of {_refer_to(event)} must be "retry" or "hold", not {event.on_unknown!r}.')
    if fault := find_prefer_type_fault(event.prefer):
        raise TypeError(f"prefer of {_refer_to(event)} {fault}")
    _check_limit(event)
    _check_retry_delays(event)
    _check_context(event)
    try:
        normalize_escalation(event.escalation)
    except TypeError as error:
        raise TypeError(f"escalation of {_refer_to(event)} {error}") from error


def _refer_to(event: Any, at_start: bool = False) -> str:
    """Return the words for the event in an error message. An event without a name gets it when it is registered."""
    words = f"event {event.name!r}" if event.name else "the event"
    return words[0].upper() + words[1:] if at_start else words


def _check_priority(event: Any) -> None:
    if isinstance(event.priority, bool) or event.priority not in list(NotificationPriority):
        raise ValueError(
            f"priority of {_refer_to(event)} must be a NotificationPriority, such as NotificationPriority.MEDIUM, "
            f"not {event.priority!r:.80}."
        )


def _check_lists(event: Any) -> None:
    for name in ("supported_channels", "loggable", "dedup_keys", "actions"):
        value = getattr(event, name)
        if isinstance(value, str | Enum):
            raise TypeError(f"{name} of {_refer_to(event)} must be a list, not a single value.")
        if not isinstance(value, Iterable):
            raise TypeError(f"{name} of {_refer_to(event)} must be a list, not {value!r:.80}.")
    # Iterating over an iterator would exhaust it.
    for channel in event.supported_channels if isinstance(event.supported_channels, Collection) else ():
        if not isinstance(channel, str | Enum):
            raise TypeError(
                f"supported_channels of {_refer_to(event)} must hold names, such as NotificationChannel.EMAIL, "
                f"not {channel!r:.80}."
            )


def _check_dicts_by_channel(event: Any) -> None:
    for name, holds in (("transforms", "function"), ("fallback", "other channel")):
        value = getattr(event, name)
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} of {_refer_to(event)} must be a dict of channel to {holds}, not {value!r:.80}.")
    for channel, function in event.transforms.items():
        if not callable(function):
            raise TypeError(
                f"transforms of {_refer_to(event)} must hold a function for {channel!r}, not {function!r:.80}."
            )


def _check_context(event: Any) -> None:
    declared = event.context
    if declared is None:
        return
    if not isinstance(declared, Mapping) or not all(isinstance(key, str) for key in declared):
        raise TypeError(
            f'context of {_refer_to(event)} must be None, {{}} or names with types, such as {{"number": str}}, '
            f"not {declared!r:.80}."
        )
    for key, kind in declared.items():
        for fault in find_type_faults(kind):
            raise TypeError(f"context of {_refer_to(event)} declares {key!r} with an unsupported type: {fault}")


def validate_event(event: Any) -> None:
    """Validate the normalised values.

    :raises ValueError, TypeError: if one is invalid.
    """
    if not event.channels:
        raise ValueError(f"{_refer_to(event, at_start=True)} supports no channel. Add one to supported_channels.")
    if len(event.name) > 100 or any(len(channel) > 50 for channel in event.channels):
        raise ValueError(f"{event.name!r:.120}: the name of an event may have 100 characters, that of a channel 50.")
    for check in (
        _check_score,
        _check_fallback,
        _check_prefer,
        _check_permission,
        _check_dedup,
        _check_batch_and_digest,
        _check_sensitive,
        _check_tracking,
        _check_variants,
        _check_inbox,
        _check_escalation,
    ):
        check(event)


def _check_tracking(event: Any) -> None:
    for name in ("track_opens", "track_clicks"):
        value = getattr(event, name)
        if not isinstance(value, bool):
            raise TypeError(f"{name} of {_refer_to(event)} must be True or False, not {value!r:.80}.")


def _check_inbox(event: Any) -> None:
    for name in ("url", "icon", "group_key"):
        if fault := find_inbox_text_fault(getattr(event, name), event.context):
            raise ValueError(f"{name} of {_refer_to(event)} is {getattr(event, name)!r:.80}. {fault}")
    for fault in find_action_faults(event.actions, is_permission):
        raise ValueError(f"actions of {_refer_to(event)}: {fault}")
    if event.sensitive and any(map(_depends_on_context, (event.url, event.icon, event.group_key))):
        raise ValueError(
            f"{_refer_to(event, at_start=True)} is sensitive, so url, icon and group_key cannot contain values of its "
            "context, because they are not encrypted. Use texts without places."
        )


def _check_escalation(event: Any) -> None:
    if event.escalation is None:
        return
    if event.batch_window or event.digest:
        raise ValueError(
            f"{_refer_to(event, at_start=True)} has an escalation, so it cannot wait for a digest or a batch. "
            "Remove digest and batch_window, or escalation."
        )
    if event.sensitive and any(target.startswith("address:") for target in event.escalation.targets):
        raise ValueError(
            f"{_refer_to(event, at_start=True)} is sensitive, so its escalation cannot have an address as a target. "
            "Name users, who can log in."
        )


def _depends_on_context(text: Any) -> bool:
    return callable(text) or "{" in text


def _check_variants(event: Any) -> None:
    variants = event.variants
    if not isinstance(variants, Mapping) or not all(_is_variant(*item) for item in variants.items()):
        raise TypeError(
            f'variants of {_refer_to(event)} must be a dict of names and weights above 0, such as {{"a": 1, "b": 1}}, '
            f"with names of at most {MAX_VARIANT_LENGTH} characters, not {variants!r:.80}."
        )
    if len(variants) == 1:
        raise ValueError(f"variants of {_refer_to(event)} has only one name. Add another one, or remove variants.")


def _is_variant(name: Any, weight: Any) -> bool:
    is_name = isinstance(name, str) and 0 < len(name) <= MAX_VARIANT_LENGTH
    return is_name and isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf


def _check_fallback(event: Any) -> None:
    for channel in event.fallback:
        if channel not in {*event.channels, *event.fallback.values()}:
            raise ValueError(
                f"fallback of {_refer_to(event)} names {channel!r}, which it does not support. "
                "Add it to supported_channels."
            )
        chain = [str(channel)]
        while chain[-1] in event.fallback:
            chain.append(str(event.fallback[chain[-1]]))
            if chain[-1] == channel:
                raise ValueError(f"fallback of {_refer_to(event)} is circular: {' -> '.join(chain)}.")


def _check_prefer(event: Any) -> None:
    for fault in find_prefer_faults(event.prefer, event.channels, event.fallback):
        raise ValueError(f"prefer of {_refer_to(event)} {fault}")
    if event.prefer and (event.batch_window or event.digest):
        raise ValueError(
            f"{_refer_to(event, at_start=True)} has prefer, so it cannot wait for a digest or a batch. "
            "Remove digest and batch_window, or prefer."
        )


def _check_score(event: Any) -> None:
    low, high = event.priority.band
    if event.score is not None and (type(event.score) is not int or not low <= event.score <= high):
        raise ValueError(
            f"score of {_refer_to(event)} must be a whole number from {low} to {high}, the band of "
            f"{event.priority.name}, not {event.score!r}."
        )
    if event.urgency is not None and not callable(event.urgency):
        raise TypeError(f"urgency of {_refer_to(event)} must be a function of the context, not {event.urgency!r}.")


def _check_dedup(event: Any) -> None:
    window = event.dedup_window
    if type(window) not in (int, float) or not 0 <= window <= MAX_DEDUP_WINDOW:
        raise ValueError(
            f"dedup_window of {_refer_to(event)} must be seconds from 0 (off) to {MAX_DEDUP_WINDOW}, not {window!r}."
        )
    _check_context_keys(event, "dedup_keys")
    _check_context_keys(event, "loggable")


def _check_context_keys(event: Any, name: str) -> None:
    for key in getattr(event, name) if event.context is not None else ():
        if key not in event.context:
            raise ValueError(
                f"{name} of {_refer_to(event)} names {key!r}, which its context does not declare. "
                f"{suggest(key, event.context, 'keys')}"
            )


def _check_batch_and_digest(event: Any) -> None:
    window, (shortest, longest) = event.batch_window, BATCH_WINDOW_RANGE
    number = type(window) in (int, float) and (window == 0 or shortest <= float(window) <= longest)
    if not number and window != "default":
        raise ValueError(
            f"batch_window of {_refer_to(event)} must be seconds from {shortest} to {longest}, 0 (off) "
            f'or "default", not {window!r}.'
        )
    if not isinstance(event.batch_scheduled, bool):
        raise TypeError(
            f"batch_scheduled of {_refer_to(event)} must be True or False, not {event.batch_scheduled!r:.80}."
        )
    if event.batch_scheduled and not window:
        raise ValueError(f"batch_scheduled of {_refer_to(event)} has no effect without a batch_window. Set one.")
    if event.digest not in (None, True, False):
        raise ValueError(f"digest of {_refer_to(event)} must be True, False or None, not {event.digest!r}.")
    if not isinstance(event.mandatory, bool):
        raise TypeError(f"mandatory of {_refer_to(event)} must be True or False, not {event.mandatory!r:.80}.")
    if event.mandatory and event.digest:
        raise ValueError(
            f"{_refer_to(event, at_start=True)} is mandatory, so it cannot wait for a digest, which its users can turn "
            "off. Remove digest or mandatory."
        )
    if event.priority == NotificationPriority.CRITICAL and (window or event.digest):
        raise ValueError(
            f"{_refer_to(event, at_start=True)} is CRITICAL, so it cannot wait for a digest or a batch. "
            "Remove digest and batch_window."
        )


def _check_limit(event: Any) -> None:
    if event.over_limit not in ("wait", "drop"):
        raise ValueError(f'over_limit of {_refer_to(event)} must be "wait" or "drop", not {event.over_limit!r}.')
    if event.over_limit == "drop" and event.priority == NotificationPriority.CRITICAL:
        raise ValueError(
            f'{_refer_to(event, at_start=True)} is CRITICAL, so a limit cannot drop it. Set over_limit to "wait".'
        )
    try:
        if event.limit is not None:
            parse_rate(event.limit)
    except ValueError as error:
        raise ValueError(f"limit of {_refer_to(event)}: {error}") from error


def _check_retry_delays(event: Any) -> None:
    if event.retry_delays is not None and (fault := find_delays_fault(event.retry_delays)):
        raise ValueError(f"retry_delays of {_refer_to(event)} is {event.retry_delays!r}. {fault}")


def _check_permission(event: Any) -> None:
    if not isinstance(event.permission, str) or not is_permission(event.permission):
        raise ValueError(
            f'permission of {_refer_to(event)} must be written as "app_label.codename", not {event.permission!r}.'
        )


def _check_sensitive(event: Any) -> None:
    if not isinstance(event.sensitive, bool):
        raise TypeError(f"sensitive of {_refer_to(event)} must be True or False, not {event.sensitive!r:.80}.")
    if event.sensitive and event.loggable:
        raise ValueError(
            f"{_refer_to(event, at_start=True)} is sensitive, so no values of its context can be copied into the log. "
            "Remove loggable."
        )
    if event.link:
        _check_link(event)


def _check_link(event: Any) -> None:
    if not event.sensitive:
        raise ValueError(f"link of {_refer_to(event)} has no effect, because the event is not sensitive. Remove it.")
    if event.context is None or event.link not in event.context:
        known = event.context or {}
        raise ValueError(
            f"link of {_refer_to(event)} names {event.link!r:.80}, which its context does not declare. "
            f"{suggest(event.link, known, 'keys')}"
        )
    if event.track_clicks:
        raise ValueError(
            f"{_refer_to(event, at_start=True)} has a link, so its clicks cannot be tracked: its address would be "
            "stored in plain text. Remove track_clicks."
        )
