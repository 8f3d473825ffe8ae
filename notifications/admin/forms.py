"""Forms that show preferences as readable JSON. The models validate the contents."""

import json
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from notifications.models import SharedPreference, UserSettings


class JSONTextField(forms.JSONField):
    """JSON on several lines. An empty field means "no choices", not null."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""

    def clean(self, value: Any) -> Any:
        return super().clean(value) or {}


def make_json_field(column: str, help_text: Any) -> JSONTextField:
    """
    :param help_text: a description of the column with the placeholder ``{example}``.
    """
    widget = forms.Textarea({"rows": 5, "cols": 60, "class": "klaxon-json", "spellcheck": "false"})
    help_text = format_lazy(help_text, example=UserSettings.examples[column])
    return JSONTextField(required=False, widget=widget, help_text=help_text)


class ChoicesForm(forms.ModelForm):
    """The choices of a user, a role or a cluster."""

    channels = make_json_field("channels", _("Choices for whole channels. Example: {example}"))
    events = make_json_field("events", _("Choices by event and channel. Example: {example}"))
    categories = make_json_field("categories", _("Choices by category and channel. Example: {example}"))


class UserSettingsForm(ChoicesForm):
    addresses = make_json_field(
        "addresses", _("Addresses by channel that replace those of the account. Example: {example}")
    )
    delivery_windows = make_json_field("delivery_windows", _("Delivery windows by channel. Example: {example}"))

    class Meta:
        model = UserSettings
        fields = (
            *("user", "cluster", "channels", "events", "categories", "addresses", "language", "time_zone"),
            *("quiet_from", "quiet_until", "delivery_windows", "digest", "digest_hour", "digest_day"),
        )


class SharedPreferenceForm(ChoicesForm):
    class Meta:
        model = SharedPreference
        fields = ("cluster", "group", "rank", "channels", "events", "categories")
