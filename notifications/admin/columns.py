"""Render values in lists and on pages: coloured states, names of recipients, links and JSON."""

import json
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from notifications.events import NotificationPriority

EMPTY_VALUE = "–"


def render_badge(word: Any, look: str) -> SafeString:
    """Render a word with a colour. The colour adds no information, because not everybody can see it."""
    return format_html('<span class="klaxon-badge klaxon-{}">{}</span>', look, word)


def render_priority(row: Any) -> SafeString:
    return render_badge(row.get_priority_display(), NotificationPriority(row.priority).name.lower())


def get_recipient_name(row: Any) -> str:
    """Return the name of the recipient, or their key if the user was deleted.

    The row must be loaded with ``select_related("recipient")``.
    """
    if row.recipient is not None:
        return str(row.recipient)
    if row.recipient_key.startswith("u:"):
        return _("%(key)s (deleted)") % {"key": row.recipient_key}
    return _("no account")


def render_with_note(main: Any, note: Any) -> SafeString:
    """Render a value with a second value in a smaller line below it, so that the list needs fewer columns."""
    if not note or note == EMPTY_VALUE:
        return format_html("{}", main)
    return format_html('{}<span class="klaxon-note">{}</span>', main, note)


def format_masked_address(masked: str) -> str:
    """Return a masked address, or a dash if the mask hides all of it, as it does for the number of an account."""
    return masked if masked.strip("*") else EMPTY_VALUE


def format_time(when: datetime) -> str:
    """Format a time in the same way as Django's admin formats the fields of a model."""
    return localize(localtime(when))


def render_json(value: Any) -> SafeString | str:
    if not value:
        return EMPTY_VALUE
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return format_html('<pre class="klaxon-json">{}</pre>', text)


def link_to_page(site: AdminSite, row: Model | None, key: Any = None) -> SafeString | str:
    """Return a link to the page of a row. If the row was deleted, return its key; if it has no page, its name."""
    if row is None:
        return _("%(key)s (deleted)") % {"key": key} if key else EMPTY_VALUE
    url = _get_admin_url(site, row, "change", row.pk)
    return format_html('<a href="{}">{}</a>', url, row) if url else str(row)


def link_to_list(site: AdminSite, model: type[Model], text: Any, **lookups: Any) -> SafeString | str:
    """Return a link to the filtered list of ``model``."""
    url = _get_admin_url(site, model, "changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(lookups), text) if url else text


def _get_admin_url(site: AdminSite, model: Any, page: str, *args: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    try:
        return reverse(name, args=args, current_app=site.name)
    except NoReverseMatch:
        # The site has not registered this model, for example its own user model.
        return ""
