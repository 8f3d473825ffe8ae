"""What an event says about its items in the inbox: where they lead, how they look, and what users can do there."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

InboxText = str | Callable[[dict[str, Any]], Any]
"""A text with places such as ``{number}`` for values of the context, or a function of the context."""

ACTION_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
UNSAFE_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
# An emoji may consist of several characters.
MAX_ICON_CHARACTERS = 8


@dataclass(frozen=True)
class InboxAction:
    """A button of an inbox item.

    :param name: lower-case letters, digits and underscores, at most 50.
    :param label: the text of the button, such as ``_("Approve")``.
    :param handler: called as ``handler(item, user)`` when the user presses the button, in a transaction and only once.
        If it raises an error, nothing is recorded. The message of a ``ValidationError`` is shown to the user.
    :param permission: the permission that the user must have, such as ``"shop.approve_order"``.
    :param when: a function of the context that returns whether an item has the button.
    :param is_primary: whether the button stands out.
    """

    name: str
    label: Any
    handler: Callable[[Any, Any], Any] | None = None
    permission: str = ""
    when: Callable[[dict[str, Any]], Any] | None = None
    is_primary: bool = False


BUILT_IN_ACTIONS = {
    "acknowledge": InboxAction("acknowledge", _("Acknowledge"), is_primary=True),
    "dismiss": InboxAction("dismiss", _("Dismiss")),
}
"""Actions that an event declares by name: one calls ``acknowledge()``, the other archives the item."""


def find_inbox_text_fault(text: Any, keys: Collection[str] | None) -> str:
    """Return why this is not an :data:`InboxText`; an empty text if it is one.

    :param keys: the keys of the context; None if any are allowed.
    """
    if callable(text):
        return ""
    if not isinstance(text, str):
        return "It must be a text or a function of the context."
    try:
        places = [place for place in Formatter().parse(text) if place[1] is not None]
    except ValueError as error:
        return f"{str(error).capitalize()}. Write a brace that is no place as {{{{ or }}}}."
    for _literal, name, spec, conversion in places:
        if not str(name).isidentifier() or spec or conversion:
            return "Places must be names of the context, such as {number}. Use a function for anything else."
        if keys is not None and name not in keys:
            return f"The context does not declare {name!r}."
    return ""


def fill_inbox_text(text: InboxText, values: dict[str, Any], is_url: bool = False) -> str:
    """Return the text for a context. In a URL, the values of places are quoted."""
    if callable(text):
        return str(text(values))
    if "{" not in text and "}" not in text:
        return text
    return text.format_map({key: quote(str(value), safe="") if is_url else str(value) for key, value in values.items()})


def is_safe_url(url: str) -> bool:
    """Return whether a URL is a path of this site, or an ``https`` address without a user name."""
    if UNSAFE_CHARACTERS.search(url):
        return False
    if url.startswith("/"):
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc


def find_action_faults(actions: Any, is_permission: Callable[[str], bool]) -> Iterator[str]:
    """Yield a sentence for each fault of the actions of an event."""
    names = [action.name for action in actions if isinstance(action, InboxAction)]
    if len(set(names)) < len(names):
        yield "Each action needs a name of its own."
    for action in actions:
        if not isinstance(action, InboxAction):
            yield f"{action!r:.80} is not an InboxAction. Actions by name are {' and '.join(BUILT_IN_ACTIONS)}."
        elif not isinstance(action.name, str) or not ACTION_NAME.fullmatch(action.name):
            yield f"{action.name!r:.80} is not the name of an action: use lower-case letters, digits and underscores."
        elif action.handler is None and action.name not in BUILT_IN_ACTIONS:
            yield f"The action {action.name!r} has no handler. Set it to a function of the item and the user."
        elif not is_permission(action.permission):
            yield f'permission of {action.name!r} must be written as "app_label.codename", not {action.permission!r}.'


def normalize_actions(actions: Any) -> tuple[Any, ...]:
    """Return the actions of an event, the built-in ones as :class:`InboxAction`."""
    return tuple(BUILT_IN_ACTIONS.get(action, action) if isinstance(action, str) else action for action in actions)


def list_offered(actions: tuple[InboxAction, ...], values: Mapping[str, Any]) -> list[str]:
    """Return the names of the actions that an item with this context has."""
    return [action.name for action in actions if action.when is None or action.when(dict(values))]


class ItemDescription(NamedTuple):
    """What an event says about one item."""

    url: str
    icon: str
    group_key: str
    actions: list[str]


def describe_item(event: Any, values: dict[str, Any]) -> ItemDescription:
    """Return what an event says about an item with this context.

    :raises ValueError: if the URL, or an icon that is a URL, is neither a path of this site nor an ``https`` address.
    """
    url, icon = fill_inbox_text(event.url, values, is_url=True), fill_inbox_text(event.icon, values)
    for name, text in (("url", url), ("icon", icon if is_image(icon) else "")):
        if text and not is_safe_url(text):
            raise ValueError(
                f"{name} of event {event.name!r} is {text!r:.200}. It must be a path of your site, such as /orders/7/, "
                "or an https address."
            )
    offered = list_offered(event.inbox_actions, values)
    return ItemDescription(url, icon, fill_inbox_text(event.group_key, values), offered)


def is_image(icon: str) -> bool:
    """Return whether an icon is the URL of an image, and not a character."""
    return len(icon) > MAX_ICON_CHARACTERS or "/" in icon


def with_acknowledge(actions: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return normalised actions with the built-in one to acknowledge."""
    names = [action.name for action in actions if isinstance(action, InboxAction)]
    return actions if "acknowledge" in names else (BUILT_IN_ACTIONS["acknowledge"], *actions)
