"""The setting ``NOTIFICATIONS["THEME"]``, and what ``THEME_OF`` returns: the appearance and the sender of emails."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from notifications.conf.problem import Problem, is_list_of_texts, is_site_address, suggest

HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
Rule = tuple[type | tuple[type, ...], Callable[[Any], bool], str]


def _is_color(value: str) -> bool:
    return HEX_COLOR.fullmatch(value) is not None


def _is_anything(value: Any) -> bool:
    return True


def _is_one_line(value: str) -> bool:
    return len(value.splitlines()) <= 1


def _is_page(value: str) -> bool:
    return is_site_address(value) or (value.startswith("/") and not value.startswith("//"))


THEME_KEYS: Mapping[str, Rule] = {
    "name": (str, _is_one_line, "a text of one line"),
    "color": (str, _is_color, 'a color of six hexadecimal digits, such as "#003366"'),
    "logo_url": (str, is_site_address, 'the address of an image, such as "https://example.com/logo.png"'),
    "postal_address": (str, _is_anything, "a text, with a line for each line of the address"),
    "preferences_url": (str, _is_page, 'the address of a page, or its path, such as "/settings/notifications/"'),
    "base_url": (str, is_site_address, 'the address of a site, such as "https://example.com"'),
    "from_email": (str, _is_one_line, 'one address, such as "Shop <orders@example.com>"'),
    "reply_to": ((list, tuple), is_list_of_texts, "a list of addresses"),
}


def find_theme_problems(theme: Any, source: str) -> Iterator[Problem]:
    """Yield the problems of a theme.

    :param source: where the theme comes from, for the messages, such as ``"NOTIFICATIONS['THEME']"``.
    """
    if not isinstance(theme, Mapping):
        yield Problem(f"{source} is {theme!r:.80}, not a dict.", f"Known keys: {', '.join(sorted(THEME_KEYS))}.")
        return
    for key, value in theme.items():
        if key not in THEME_KEYS:
            yield Problem(f"{source} has an unknown key {key!r}.", suggest(key, THEME_KEYS))
            continue
        allowed, is_valid, requirement = THEME_KEYS[key]
        if not isinstance(value, allowed) or not is_valid(value):
            yield Problem(f"{source} has {value!r:.80} as {key!r}.", f"It must be {requirement}.")
