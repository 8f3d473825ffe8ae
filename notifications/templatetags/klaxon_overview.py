"""The tag ``{% klaxon_overview %}``, which shows the overview on pages of Django's admin."""

from typing import Any

from django import template
from django.apps import apps

register = template.Library()

# Django imports the tags of all apps, also on sites without its admin.
if apps.is_installed("django.contrib.admin"):
    from notifications.admin.overview import build_overview

    @register.inclusion_tag("admin/klaxon/overview.html", takes_context=True)
    def klaxon_overview(context: Any) -> dict[str, Any]:
        """Show the overview to users who may see deliveries, and nothing to others."""
        return build_overview(context["request"])
