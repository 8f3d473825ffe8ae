"""The actions on escalations that ask first: send the next step now, snooze, and hand over.

The confirmation page contains the last entry in the history of each escalation. An action changes only escalations
that have had no entry since, and adds one itself. Therefore a second click changes nothing, and nobody sends a step
that they have not seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelect, ForeignKeyRawIdWidget
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin.confirmation import FIELD, build_confirm_context, list_selected, parse_confirmed_rows
from notifications.admin.members import can_autocomplete
from notifications.core import clock
from notifications.escalation import escalate, hand_over, snooze
from notifications.exceptions import KlaxonError
from notifications.models import EscalationEntry, EscalationRun

MAX_RUNS = 200
LISTED_RUNS = 20
MAX_MINUTES = 7 * 24 * 60
REASON_LENGTH = 500
OVER = (EscalationRun.State.RESOLVED, EscalationRun.State.CANCELLED)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=REASON_LENGTH)


class SnoozeForm(forms.Form):
    minutes = forms.IntegerField(
        label=gettext_lazy("Minutes"),
        min_value=1,
        max_value=MAX_MINUTES,
        initial=30,
        help_text=gettext_lazy("Nothing is sent before this time has passed. Then the next step is sent."),
    )


class HandOverForm(ReasonForm):
    """Chooses the user with autocompletion, or by primary key."""

    to = forms.ModelChoiceField(get_user_model()._default_manager.none(), label=gettext_lazy("To"))
    field_order = ("to", "reason")


@dataclass(frozen=True)
class EscalationAction:
    """One action.

    :param name: the name of the method of the admin class.
    :param form: what the confirmation page asks for.
    :param change: changes one escalation for a user with the values of the form; returns whether it has changed.
    :param question: the title of the confirmation page, with a count.
    :param history: the sentence for the history of each changed escalation.
    """

    name: str
    form: type[forms.Form]
    change: Callable[[EscalationRun, Any, dict[str, Any]], bool]
    question: Callable[[int], str]
    history: str


SEND_NEXT = EscalationAction(
    name="escalate_now",
    form=ReasonForm,
    change=lambda run, person, values: escalate(run, person, values["reason"]),
    question=lambda count: (
        ngettext("Send the next step of %d escalation now?", "Send the next step of %d escalations now?", count) % count
    ),
    history="escalated by hand",
)
SNOOZE = EscalationAction(
    name="snooze_runs",
    form=SnoozeForm,
    change=lambda run, person, values: snooze(run, person, clock.now() + timedelta(minutes=values["minutes"])),
    question=lambda count: ngettext("Snooze %d escalation?", "Snooze %d escalations?", count) % count,
    history="snoozed",
)
HAND_OVER = EscalationAction(
    name="hand_over_runs",
    form=HandOverForm,
    change=lambda run, person, values: hand_over(run, person, values["to"], values["reason"]),
    question=lambda count: ngettext("Hand over %d escalation?", "Hand over %d escalations?", count) % count,
    history="handed over",
)


def ask_or_act(
    action: EscalationAction, model_admin: admin.ModelAdmin, request: HttpRequest, selected: QuerySet[EscalationRun]
) -> TemplateResponse | None:
    """Return the confirmation page, or None if the action was confirmed or cannot change anything."""
    is_confirmed = FIELD in request.POST
    form = _build_form(action, model_admin, request, request.POST if is_confirmed else None)
    if is_confirmed:
        confirmed = parse_confirmed_rows(request.POST[FIELD])
        if form.is_valid():
            _run(action, model_admin, request, confirmed, form.cleaned_data)
            return None
    else:
        confirmed = find_last_entries(list_selected(selected, MAX_RUNS))
    runs = list(model_admin.get_queryset(request).filter(pk__in=confirmed).exclude(state__in=OVER).order_by("pk"))
    if not runs:
        text = gettext_lazy("Nothing to do: all of the selected escalations are over.")
        model_admin.message_user(request, text, messages.WARNING)
        return None
    context = {
        **build_confirm_context(model_admin, request, action.question(len(runs))),
        "media": model_admin.media + form.media,
        "action": action,
        "form": form,
        "first": runs[:LISTED_RUNS],
        "rest": max(len(runs) - LISTED_RUNS, 0),
        "most": MAX_RUNS if len(confirmed) == MAX_RUNS else None,
        "field_name": FIELD,
        "confirmed": ",".join(f"{run.pk}-{confirmed[run.pk]}" for run in runs),
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/klaxon/escalationrun/confirm.html", context)


def _build_form(action: EscalationAction, model_admin: admin.ModelAdmin, request: HttpRequest, data: Any) -> forms.Form:
    form = action.form(data)
    if "to" in form.fields:
        relation = EscalationRun._meta.get_field("acknowledged_by")
        is_searchable = can_autocomplete(model_admin, request)
        field: Any = form.fields["to"]
        field.widget = (
            AutocompleteSelect(relation, model_admin.admin_site)
            if is_searchable
            else ForeignKeyRawIdWidget(relation.remote_field, model_admin.admin_site)
        )
        field.queryset = get_user_model()._default_manager.filter(is_active=True)
    return form


def find_last_entries(keys: list[Any]) -> dict[int, int]:
    """Return the escalations with the last entry in their history."""
    entries = EscalationEntry.objects.filter(run__in=keys).order_by().values_list("run_id").annotate(Max("pk"))
    return dict.fromkeys(keys, 0) | dict(entries)


def _run(
    action: EscalationAction,
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    confirmed: dict[int, int],
    values: dict[str, Any],
) -> None:
    changed = 0
    for run in model_admin.get_queryset(request).filter(pk__in=confirmed).order_by("pk"):
        try:
            if _change_unless_touched(action, run, confirmed[run.pk], request.user, values):
                changed += 1
                model_admin.log_change(request, run, action.history)
        except KlaxonError as error:
            model_admin.message_user(request, str(error), messages.ERROR)
    done = ngettext("{count} escalation was changed.", "{count} escalations were changed.", changed)
    sentences = [done.format(count=changed)]
    if skipped := len(confirmed) - changed:
        more = ngettext("{count} was skipped.", "{count} were skipped, because they have changed.", skipped)
        sentences.append(more.format(count=skipped))
    model_admin.message_user(request, " ".join(sentences), messages.SUCCESS if changed else messages.WARNING)


def _change_unless_touched(
    action: EscalationAction, run: EscalationRun, last_entry: int, person: Any, values: dict[str, Any]
) -> bool:
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        rows = EscalationRun.objects.using(using).lock([run.notification_id])
        last = EscalationEntry.objects.using(using).filter(run=run.pk).aggregate(last=Max("pk"))["last"]
        return bool(rows) and (last or 0) == last_entry and action.change(rows[0], person, values)
