"""Native inputs for times of day, time zones and languages."""

import zoneinfo
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.forms.widgets import Script
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class TimeOfDayInput(forms.TimeInput):
    """The browser's own input for a time of day."""

    input_type = "time"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, format="%H:%M")


class ZoneInput(forms.TextInput):
    """A text field that suggests time zones. A script offers that of the browser."""

    template_name = "notifications/preference_centre/widgets/zone.html"

    class Media:
        css = {"all": ["notifications/preferences.css"]}
        js = [Script("notifications/preferences.js", type="module")]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        widget = context["widget"]
        list_id = f"{widget['attrs'].get('id') or name}-zones"
        widget["attrs"].update(
            {"list": list_id, "placeholder": timezone.get_default_timezone_name(), "autocomplete": "off"}
        )
        widget["zones"] = list_zones()
        return context


@cache
def list_zones() -> list[str]:
    """Return the names of time zones that belong to places, and UTC."""
    hidden = ("Etc/", "SystemV/", "US/", "posix/", "right/")
    names = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith(hidden))
    return ["UTC", *sorted(names)]


class LanguageField(forms.ChoiceField):
    """The languages of the site, and that of the site by default. A stored language is always among them."""

    def __init__(self, **options: Any) -> None:
        choices = [("", _("Language of the site")), *settings.LANGUAGES]
        super().__init__(**{"required": False, "choices": choices, **options})


def add_stored_language(form: forms.BaseForm, code: str) -> None:
    """Offer a language that is stored, such as a regional variant of a language of the site.

    A form that is for viewing only has no field ``language``.
    """
    field = form.fields.get("language")
    if code and isinstance(field, LanguageField) and not field.valid_value(code):
        field.choices = [*field.choices, (code, code)]  # type: ignore[misc]
