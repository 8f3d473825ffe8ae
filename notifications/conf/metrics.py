"""The setting ``NOTIFICATIONS["METRICS"]``: who may read the metrics, and what counts as available."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifications.conf.problem import Problem, has_type, is_positive, suggest

LATENCY = {"critical": 1.0, "high": 5.0, "medium": 30.0, "low": 300.0}
"""For each band, the seconds within which its deliveries are sent when all is well."""
MAX_DAYS = 36_500
METRICS_KEYS: Mapping[str, tuple[Any, Any, str]] = {
    "TOKEN": ("", str, "a text of ASCII characters without spaces and newlines, or empty for none"),
    "LATENCY": ({}, Mapping, 'a dict of bands to seconds above 0, such as {"critical": 1, "low": 300}'),
    "KEEP_DAYS": (400, (int, float), f"a number of days above 0, and at most {MAX_DAYS}"),
}
"""For each key its default, the allowed types, and what it must be."""


def find_metrics_problems(metrics: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``METRICS``. No problem contains the token."""
    for key, value in metrics.items():
        if key not in METRICS_KEYS:
            yield Problem(f"NOTIFICATIONS['METRICS'] has an unknown key {key!r}.", suggest(key, METRICS_KEYS))
            continue
        _default, allowed, requirement = METRICS_KEYS[key]
        if not has_type(value, allowed) or not _is_valid(key, value):
            shown = "not valid" if key == "TOKEN" else f"{value!r:.80}"
            yield Problem(f"NOTIFICATIONS['METRICS'][{key!r}] is {shown}.", f"It must be {requirement}.")


def _is_valid(key: str, value: Any) -> bool:
    if key == "LATENCY":
        return all(
            band in LATENCY and has_type(seconds, (int, float)) and is_positive(seconds)
            for band, seconds in value.items()
        )
    if key == "TOKEN":
        # A header contains no others. A secret that is read from a file often ends with a newline.
        return all("!" <= character <= "~" for character in value)
    return 0 < value <= MAX_DAYS
