"""The forms of the pages of webhooks. Errors of the functions that they call become errors of a field."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from notifications.exceptions import AddressForbidden, InvalidOption
from notifications.models import WebhookEndpoint
from notifications.models.webhook_endpoint import DESCRIPTION_LENGTH, URL_LENGTH
from notifications.webhooks import list_events

KINDS = {
    WebhookEndpoint.Kind.V1.value: _("v1 (HMAC-SHA256, a shared secret)"),
    WebhookEndpoint.Kind.V1A.value: _("v1a (Ed25519, a public key)"),
}
OVERLAPS = {
    "24": _("for a day"),
    "168": _("for a week"),
    "1": _("for an hour"),
    "0": _("not any more: the secret has leaked"),
}


YEARS = range(1970, 9000)


class EndpointForm(forms.Form):
    """The values of an endpoint. Without a chosen event, it gets all."""

    url = forms.CharField(
        label=_("URL"),
        max_length=URL_LENGTH,
        widget=forms.URLInput(
            attrs={"placeholder": "https://", "autocomplete": "off", "spellcheck": "false", "dir": "ltr"}
        ),
    )
    description = forms.CharField(
        label=_("Description"),
        max_length=DESCRIPTION_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"dir": "auto"}),
    )
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
    kind = forms.ChoiceField(label=_("Signature"), choices=KINDS.items)


class RotationForm(forms.Form):
    overlap = forms.ChoiceField(label=_("The old secret signs too"), choices=OVERLAPS.items)

    @property
    def chosen_overlap(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class ReplayForm(forms.Form):
    """The time since which messages have failed."""

    since = forms.DateTimeField(
        label=_("Failed since"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )

    def clean_since(self) -> datetime:
        since: datetime = self.cleaned_data["since"]
        # Databases and time zones cannot express every year.
        if since.year not in YEARS:
            raise forms.ValidationError(_("Enter a valid date/time."))
        return since
