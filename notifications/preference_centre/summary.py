"""The preferences of a user as a page that only shows them, for a magic link. Addresses are masked."""

from typing import Any

from notifications.core.addresses import mask_address
from notifications.core.hours import get_site_quiet_hours
from notifications.preference_centre.owner import Owner
from notifications.preference_centre.page import Page
from notifications.preference_centre.widgets.choices import Choice
from notifications.preference_centre.widgets.windows import describe_windows


def load_summary(user: Any, cluster: Any) -> dict[str, Any]:
    """Return the variables of the page: the same facts as those of the preference centre."""
    page = Page(Owner.signed_in(user, cluster))
    settings = page.standing.settings
    return {
        "page": page,
        "choices": Choice,
        "settings": settings,
        "quiet_hours": settings.quiet_hours if settings else get_site_quiet_hours(),
        "windows": list(describe_windows(settings.delivery_windows)) if settings else [],
        "addresses": [(row.label, mask_address(row.address)) for row in page.addresses if row.address],
        "topics": [topic.label for topic in page.topics if topic.is_followed],
    }
