"""The forms of the pages of webhooks. Errors of the functions that they call become errors of a field."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from notifications.exceptions import AddressForbidden, InvalidOption
from notifications.models import WebhookEndpoint
from notifications.models.webhook_endpoint import DESCRIPTION_LENGTH, URL_LENGTH
from notifications.webhooks import list_events

OVERLAPS = {
    "24": _("for a day"),
    "168": _("for a week"),
    "1": _("for an hour"),
    "0": _("not any more: the secret has leaked"),
}


class EndpointForm(forms.Form):
    """The values of an endpoint. Without a chosen event, it gets all."""

    url = forms.CharField(
        label=_("URL"),
        max_length=URL_LENGTH,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(label=_("Description"), max_length=DESCRIPTION_LENGTH, required=False)
    events = forms.MultipleChoiceField(
        label=_("Events"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Without a choice, it gets all events, and also those that are added later."),
    )

    def __init__(self, *args: Any, endpoint: WebhookEndpoint | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(event.name, event.words) for event in list_events()]
        known = {name for name, _label in choices}
        # Events that the site does not have any more stay, until somebody deselects them.
        choices += [(name, name) for name in (endpoint.events if endpoint else ()) if name not in known]
        self.fields["events"].choices = choices  # type: ignore[attr-defined]

    def save_with(self, save: Callable[..., Any]) -> Any:
        """Return the result of a function that takes the values, or None if it refuses them."""
        try:
            return save(**self.cleaned_data) if self.is_valid() else None
        except AddressForbidden as error:
            self.add_error("url", str(error))
        except InvalidOption as error:
            self.add_error(None, str(error))
        return None


class NewEndpointForm(EndpointForm):
    kind = forms.ChoiceField(label=_("Signature"), choices=WebhookEndpoint.Kind.choices)


class RotationForm(forms.Form):
    overlap = forms.ChoiceField(label=_("The old secret signs too"), choices=OVERLAPS.items)

    @property
    def chosen_overlap(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class ReplayForm(forms.Form):
    since = forms.DateTimeField(
        label=_("Failed since"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
