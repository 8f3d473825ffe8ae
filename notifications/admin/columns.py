"""How values look in lists and on pages: a state as a coloured word, a recipient by name, JSON one can read."""

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

NOTHING = "–"


def badge(word: Any, look: str) -> SafeString:
    """A word with a colour; the colour never says anything that the word does not."""
    return format_html('<span class="klaxon-badge klaxon-{}">{}</span>', look, word)


def priority_badge(row: Any) -> SafeString:
    return badge(row.get_priority_display(), NotificationPriority(row.priority).name.lower())


def recipient_name(row: Any) -> str:
    """The user's name, or what is left to say. The row must come with its recipient (``select_related``)."""
    if row.recipient is not None:
        return str(row.recipient)
    if row.recipient_key.startswith("u:"):
        return _("%(key)s (deleted)") % {"key": row.recipient_key}
    return _("no account")


def with_note(main: Any, note: Any) -> SafeString:
    """A value with a smaller line below it, so that a list stays narrow enough to be read."""
    if not note or note == NOTHING:
        return format_html("{}", main)
    return format_html('{}<span class="klaxon-note">{}</span>', main, note)


def address_shown(masked: str) -> str:
    """A masked address, unless the mask has left nothing of it (the number of an account, for instance)."""
    return masked if masked.strip("*") else NOTHING


def format_time(when: datetime) -> str:
    """As the admin itself shows the columns of a model, so that every time looks alike."""
    return localize(localtime(when))


def json_block(value: Any) -> SafeString | str:
    if not value:
        return NOTHING
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return format_html('<pre class="klaxon-json">{}</pre>', text)


def page_of(site: AdminSite, row: Model | None, key: Any = None) -> SafeString | str:
    """A link to a row's own page; its bare key where the row is gone or has no page."""
    if row is None:
        return _("%(key)s (deleted)") % {"key": key} if key else NOTHING
    address = _address(site, row, "change", row.pk)
    return format_html('<a href="{}">{}</a>', address, row) if address else str(row)


def list_of(site: AdminSite, model: type[Model], text: Any, **lookups: Any) -> SafeString | str:
    """A link to the list of ``model``, filtered."""
    address = _address(site, model, "changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(lookups), text) if address else text


def _address(site: AdminSite, model: Any, page: str, *args: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    try:
        return reverse(name, args=args, current_app=site.name)
    except NoReverseMatch:
        # The host has not registered this model, a user model of its own for instance.
        return ""
