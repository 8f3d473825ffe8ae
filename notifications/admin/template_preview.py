"""The preview of a staff template, for a frame beside the editor.

The HTML of the mail is shown in frames with ``sandbox``: its scripts and forms do nothing. The page around them sends
its own Content-Security-Policy, which the frames inherit. It allows the inline styles of mails, which the policy of the
site may forbid.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from notifications.conf import get_channel_class
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import KlaxonError
from notifications.models import StaffTemplate
from notifications.staff_templates.inlining import inline_texts
from notifications.staff_templates.past import PastContext
from notifications.staff_templates.publishing import find_message_problems, render_contexts

PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; font-src https:; "
    "frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
SCHEME_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
ALWAYS, NEVER = "(min-width: 0)", "(max-width: 0)"


def build_preview(template: StaffTemplate, texts: Mapping[str, str], context: PastContext | None) -> dict[str, Any]:
    """Return the context of the preview page: the rendered parts of one message, or an error."""
    event = NOTIFICATION_EVENTS.named(template.event)
    if event is None or context is None:
        return {
            "error": _("There are no values for a preview. The event has no past messages and declares no context.")
        }
    try:
        channel = get_channel_class(template.channel)
        [(_context, result)] = render_contexts(template, inline_texts(texts), event, channel, [context])
    except KlaxonError as error:
        return {"error": str(error)}
    if isinstance(result, Exception):
        return {"error": str(result), "source": context}
    rendered, seconds = result
    return {
        "source": context,
        "subject": rendered.subject,
        "text": rendered.text,
        "short": rendered.parts.get("short.txt", ""),
        "html": choose_scheme(rendered.html, "light"),
        "dark_html": choose_scheme(rendered.html, "dark"),
        "problems": list(find_message_problems(rendered, seconds)),
    }


def choose_scheme(html: str, scheme: str) -> str:
    """Return HTML whose media queries for a colour scheme are fixed, so that the preview shows both schemes."""
    return SCHEME_QUERY.sub(lambda match: ALWAYS if match[1].lower() == scheme else NEVER, html)
