"""Preferences as text that a person can read and mend. What may stand in it, the models know."""

import json
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from notifications.models import SharedPreference, UserSettings


class JSONText(forms.JSONField):
    """JSON on several lines. An empty box means "nothing chosen", not null."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""

    def clean(self, value: Any) -> Any:
        return super().clean(value) or {}


def json_text(column: str, words: Any) -> JSONText:
    """
    :param words: what stands in the column, with a place for the example.
    """
    box = forms.Textarea({"rows": 5, "cols": 60, "class": "klaxon-json", "spellcheck": "false"})
    return JSONText(required=False, widget=box, help_text=format_lazy(words, example=UserSettings.examples[column]))


class ChoicesForm(forms.ModelForm):
    """The choices of a user, a role or a cluster."""

    channels = json_text("channels", _("The main switches. Example: {example}"))
    events = json_text("events", _("By event and channel. Example: {example}"))
    categories = json_text("categories", _("By category and channel. Example: {example}"))


class UserSettingsForm(ChoicesForm):
    addresses = json_text("addresses", _("Addresses to use instead of the account’s. Example: {example}"))
    delivery_windows = json_text("delivery_windows", _("By channel. Example: {example}"))

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
