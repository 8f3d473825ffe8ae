"""The forms of staff templates: a new template, and the texts of its next version."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.delivering.rendering.templates import LANGUAGE_PATTERN
from notifications.events import DIGESTS, NOTIFICATION_EVENTS
from notifications.models import StaffTemplate
from notifications.staff_templates.cage.budget import MAX_SOURCE_CHARACTERS


class TemplateForm(forms.ModelForm):
    """Names the event, channel, language and cluster of a new template."""

    event = forms.ChoiceField(label=_("Event"))
    channel = forms.ChoiceField(label=_("Channel"))

    class Meta:
        model = StaffTemplate
        fields = ("event", "channel", "language", "cluster")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Digests have only template files. Messages of a sensitive event carry only a link.
        events = [event for member, event in NOTIFICATION_EVENTS.items() if member not in DIGESTS.values()]
        choices = [(event.name, f"{event.words} ({event.name})") for event in events if not event.sensitive]
        self.fields["event"].choices = sorted(choices)  # type: ignore[attr-defined]
        self.fields["channel"].choices = [(name, name) for name in sorted(conf.current().enabled_channels)]  # type: ignore[attr-defined]

    def clean_language(self) -> str:
        code = str(self.cleaned_data["language"]).strip().lower().replace("_", "-")
        if code and not LANGUAGE_PATTERN.fullmatch(code):
            raise ValidationError(_("Enter a language code such as de or de-at."), code="language")
        return code

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        event = NOTIFICATION_EVENTS.named(cleaned.get("event", ""))
        channel = cleaned.get("channel")
        if event is not None and channel and channel not in {*event.named_channels, *event.fallback.values()}:
            names = ", ".join(event.channels)
            self.add_error("channel", ValidationError(_("This event supports only: %s.") % names, code="channel"))
        return cleaned


def make_text_field(label: Any, kind: str, rows: int, help_text: Any = "") -> forms.CharField:
    """
    :param kind: the syntax in addition to that of templates: ``"html"`` or ``"text"``.
    """
    attributes = {"rows": rows, "class": "klaxon-source", "spellcheck": "false", "data-template-editor": kind}
    return forms.CharField(
        label=label,
        required=False,
        strip=False,
        max_length=MAX_SOURCE_CHARACTERS,
        help_text=help_text,
        widget=forms.Textarea(attributes),
    )


class VersionForm(forms.Form):
    """The texts of the next version, and the number of the version that they are based on."""

    subject = make_text_field(_("Subject"), "text", 2)
    html = make_text_field(_("HTML"), "html", 24)
    text = make_text_field(_("Text"), "text", 12, _("For readers without HTML."))
    short = make_text_field(_("Short text"), "text", 3, _("For channels with little room, such as SMS."))
    comment = forms.CharField(
        label=_("Comment"), required=False, max_length=200, help_text=_("What you have changed, for your colleagues.")
    )
    expected_version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    context = forms.ChoiceField(
        label=_("Preview with"), required=False, help_text=_("The preview and the test use the values of this message.")
    )

    def __init__(self, *args: Any, contexts: list[tuple[str, str]], is_locked: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["context"].choices = contexts  # type: ignore[attr-defined]
        for name in ("subject", "html", "text", "short"):
            # Browsers send line breaks as CRLF.
            self.fields[name].widget.attrs["readonly"] = is_locked

    @property
    def texts(self) -> dict[str, str]:
        """The submitted texts by variant, with the line breaks of the server."""
        names = ("subject", "html", "text", "short")
        return {name: str(self.cleaned_data.get(name, "")).replace("\r\n", "\n") for name in names}
