"""Rendering: from a notification and a recipient to the text of one channel."""

from notifications.rendering.templates import missing_parts, render
from notifications.rendering.variables import locale_of, variables

__all__ = ["locale_of", "missing_parts", "render", "variables"]
