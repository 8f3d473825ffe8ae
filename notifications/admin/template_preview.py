"""The preview of a staff template, for a frame beside the editor.

The HTML of the mail is shown in frames with ``sandbox``: its scripts and forms do nothing. The page around them sends
its own Content-Security-Policy, which the frames inherit. It allows the inline styles of mails, which the policy of the
site may forbid. It allows only images of the site: with any other, the author of a template could get the values that
the person sees who previews it.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from notifications.conf import get_channel_class
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import KlaxonError
from notifications.mail import get_theme
from notifications.models import StaffTemplate, cluster_or_default
from notifications.staff_templates.past import PastContext
from notifications.staff_templates.publishing import find_context_problems, render_contexts
from notifications.staff_templates.tools import inline_texts

PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:%s; font-src 'self'; "
    "frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
SCHEME_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
ALWAYS, NEVER = "(min-width: 0)", "(max-width: 0)"


def build_policy(template: StaffTemplate) -> str:
    """Return the Content-Security-Policy of the preview page of a template."""
    url = urlsplit(get_theme(template.cluster or cluster_or_default(None), template.event).base_url)
    return PREVIEW_POLICY % (f" {url.scheme}://{url.netloc}" if url.netloc else "")


def build_preview(template: StaffTemplate, texts: Mapping[str, str], context: PastContext | None) -> dict[str, Any]:
    """Return the context of the preview page: the rendered parts of one message, or an error."""
    event = NOTIFICATION_EVENTS.named(template.event)
    if event is None or context is None:
        return {
            "error": _("There are no values for a preview. The event has no past messages and declares no context.")
        }
    try:
        channel = get_channel_class(template.channel)
        [message] = render_contexts(template, inline_texts(texts), event, channel, [context])
        problems = list(find_context_problems([message]))
    except KlaxonError as error:
        return {"error": str(error)}
    rendered = message.rendered
    if isinstance(rendered, Exception):
        return {"error": str(rendered), "source": context}
    return {
        "source": context,
        "subject": rendered.subject,
        "text": rendered.text,
        "short": rendered.parts.get("short.txt", ""),
        "html": choose_scheme(rendered.html, "light"),
        "dark_html": choose_scheme(rendered.html, "dark"),
        "problems": problems,
    }


def choose_scheme(html: str, scheme: str) -> str:
    """Return HTML whose media queries for a colour scheme are fixed, so that the preview shows both schemes."""
    return SCHEME_QUERY.sub(lambda match: ALWAYS if match[1].lower() == scheme else NEVER, html)
