"""Rendering: from a delivery and its recipient to the text for one channel."""

from notifications.delivering.rendering.message import render_delivery
from notifications.delivering.rendering.replacements import (
    ReplacementText,
    register_replacement,
    render_replacements,
)
from notifications.delivering.rendering.sensitive import describe_error, find_page_fault
from notifications.delivering.rendering.templates import (
    find_template_errors,
    get_locale,
    get_template_places,
    render,
    render_notification,
    use_locale,
)

__all__ = [
    "ReplacementText",
    "describe_error",
    "find_page_fault",
    "find_template_errors",
    "get_locale",
    "get_template_places",
    "register_replacement",
    "render",
    "render_delivery",
    "render_notification",
    "render_replacements",
    "use_locale",
]
