"""The mutes of a user: what they have muted and until when, and the form for a new one."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications.explain.steps import get_recipient_zone
from notifications.models import Mute
from notifications.preference_centre.matrix import list_events
from notifications.preference_centre.owner import Owner, Standing
from notifications.preference_centre.widgets.names import get_event_name

DURATIONS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}
DURATION_CHOICES = [
    ("hour", _("for an hour")),
    ("day", _("for a day")),
    ("week", _("for a week")),
    ("month", _("for 30 days")),
    ("until", _("until the time below")),
    ("ever", _("permanently")),
]


MAX_YEARS = 10


class MuteRow(NamedTuple):
    """A mute that has not ended."""

    key: int
    kind: str
    label: str
    until: datetime | None


def list_mutes(standing: Standing) -> list[MuteRow]:
    """Return the mutes that have not ended. Takes one query if the user has muted persons."""
    rows = [mute for mute in standing.person.mutes if mute.until is None or mute.until > standing.now]
    names = _load_names({mute.value for mute in rows if mute.kind == Mute.Kind.SENDER})
    zone = get_recipient_zone(standing.person)
    found = []
    for mute in rows:
        label = get_event_name(mute.value) if mute.kind == Mute.Kind.EVENT else names.get(mute.value, mute.value)
        found.append(MuteRow(mute.pk, str(Mute.Kind(mute.kind).label), label, _localize(mute.until, zone)))
    return found


def _localize(until: datetime | None, zone: tzinfo) -> datetime | None:
    try:
        return until and timezone.localtime(until, zone)
    except OverflowError:  # such as datetime.max, with which code of the site mutes permanently
        return None


def _load_names(keys: Collection[str]) -> dict[str, str]:
    users = get_user_model()
    valid = []
    for key in keys:
        try:
            valid.append(users._meta.pk.to_python(key))
        except ValidationError:
            continue  # the user model had another type of key before
    return {str(pk).lower(): str(user) for pk, user in users._default_manager.in_bulk(valid).items()} if valid else {}


class MuteForm(forms.Form):
    """A new mute of an event or topic, for a time or permanently."""

    subject = forms.ChoiceField(label=_("What"))
    duration = forms.ChoiceField(label=_("How long"), choices=DURATION_CHOICES, initial="day")
    until = forms.DateTimeField(
        label=_("Until"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def __init__(self, owner: Owner, standing: Standing, topics: Iterable[tuple[str, str]], data: Any = None) -> None:
        super().__init__(data, prefix="mute")
        self.owner = owner
        self.standing = standing
        events = [(f"event:{event.name}", event.words) for event in list_events() if not event.bypasses_preferences]
        mutable = [(f"topic:{key}", label) for key, label in topics]
        groups = [(_("Events"), events), (_("Topics"), mutable)]
        subject: Any = self.fields["subject"]
        subject.choices = [(label, choices) for label, choices in groups if choices]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        duration, until = cleaned.get("duration"), cleaned.get("until")
        if duration == "until" and not self.has_error("until"):
            if until is None or until <= self.standing.now:
                self.add_error("until", _("Enter a time in the future."))
            elif until.year > self.standing.now.year + MAX_YEARS:
                self.add_error("until", _("Enter a time within the next ten years, or choose “permanently”."))
        elif duration:
            cleaned["until"] = self.standing.now + DURATIONS[duration] if duration in DURATIONS else None
        return cleaned

    def build_mute(self) -> Mute:
        """Return the mute of a valid form, without saving it."""
        kind, _colon, value = self.cleaned_data["subject"].partition(":")
        owner = {"user": self.owner.user, "cluster": self.owner.cluster}
        return Mute(**owner, kind=kind, value=value, until=self.cleaned_data["until"])

    def save(self) -> None:
        """Save the mute of a valid form, or change the end of one that exists."""
        mute = self.build_mute()
        using = router.db_for_write(Mute)
        with transaction.atomic(using=using):
            names = {"user": mute.user, "cluster": mute.cluster, "kind": mute.kind, "value": mute.value.lower()}
            row = Mute.objects.using(using).select_for_update(of=("self",)).filter(**names).first() or mute
            row.until = mute.until
            row.save(using=using, by=self.owner.user)


def delete_mute(owner: Owner, key: int) -> bool:
    """End a mute of an owner; return whether there was one."""
    rows = Mute.objects.filter(pk=key, user=owner.user, cluster=owner.cluster)
    return bool(rows.delete(by=owner.user)[0])
