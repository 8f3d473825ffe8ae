"""Actions on deliveries with a confirmation page.

The user confirms a count. Therefore the action changes exactly the rows that were counted, each once: the page contains
the number and epoch of each. A second click changes nothing. A row that was changed in the meantime is reported as
skipped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import BadRequest
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from notifications.admin.paging import BoundedPaginator
from notifications.models import Delivery

MAX_ROWS = 1000
LISTED_ROWS = 20
FIELD = "confirmed"


@dataclass(frozen=True)
class ConfirmedAction:
    """One action.

    :param name: the name of the method of the admin class.
    :param states: the states in which a delivery can be changed.
    :param change: changes one row, which it gets as a queryset, for a user; returns the number of changed rows.
    :param question: the title of the confirmation page, with a count.
    :param warning: an explanation on the confirmation page.
    :param refusal: the message if none of the selected deliveries can be changed.
    :param done: the message after the action, with a count.
    :param skipped: the message about skipped deliveries, with a count.
    :param history: a sentence for the history of each changed delivery.
    :param on_changed: is called in the same transaction with the changed deliveries.
    """

    name: str
    states: Sequence[str]
    change: Callable[[Any, Any], int]
    question: Callable[[int], str]
    warning: Any
    refusal: Any
    done: Callable[[int], str]
    skipped: Callable[[int], str]
    history: Any
    on_changed: Callable[[list[Delivery]], None] = lambda changed: None


def confirm_or_run(
    action: ConfirmedAction, model_admin: admin.ModelAdmin, request: HttpRequest, selected: QuerySet[Delivery]
) -> TemplateResponse | None:
    """Return the confirmation page, or None if the action was confirmed or cannot change anything."""
    if FIELD in request.POST:
        _run(action, model_admin, request)
        return None
    # What the list has counted, and no row that it does not show.
    keys = list_selected(selected, BoundedPaginator.max_count)
    rows = model_admin.get_queryset(request)
    possible = list(rows.filter(pk__in=keys, state__in=action.states).order_by("pk")[:MAX_ROWS])
    if not possible:
        model_admin.message_user(request, action.refusal, messages.WARNING)
        return None
    return _render_confirmation(action, model_admin, request, len(keys) - len(possible), possible)


def list_selected(selected: QuerySet[Any], most: int) -> list[Any]:
    """Return the primary keys of the selected rows, at most this number, in the order of the list.

    If somebody selects the rows of all pages, the selection is the list with its filters.
    """
    return list(selected.values_list("pk", flat=True)[:most])


def _render_confirmation(
    action: ConfirmedAction,
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    others: int,
    possible: list[Delivery],
) -> TemplateResponse:
    context = {
        **build_confirm_context(model_admin, request, action.question(len(possible))),
        "action": action,
        "others": others,
        "most": MAX_ROWS if len(possible) == MAX_ROWS else None,
        "first": possible[:LISTED_ROWS],
        "rest": max(len(possible) - LISTED_ROWS, 0),
        "field": FIELD,
        "confirmed": ",".join(f"{row.pk}-{row.epoch}" for row in possible),
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/klaxon/delivery/confirm.html", context)


def build_confirm_context(model_admin: admin.ModelAdmin, request: HttpRequest, question: Any) -> dict[str, Any]:
    """Return the context of ``admin/klaxon/confirm.html``."""
    return {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "title": question,
        "breadcrumbs_are_a_list": django.VERSION >= (6, 1),
    }


def _run(action: ConfirmedAction, model_admin: admin.ModelAdmin, request: HttpRequest) -> None:
    epochs = parse_confirmed_rows(request.POST[FIELD])
    others = _parse_number(request.POST.get("others", "0"))
    # Not the rows of the list, whose filters may no longer match.
    rows = list(model_admin.get_queryset(request).filter(pk__in=epochs).order_by("pk"))
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        changed = [row for row in rows if _change_row(action, row.pk, epochs[row.pk], request.user, using)]
        LogEntry.objects.log_actions(request.user.pk, changed, CHANGE, str(action.history))  # type: ignore[arg-type]
        action.on_changed(changed)
    _report(action, model_admin, request, len(changed), len(epochs) - len(changed) + others)


def parse_confirmed_rows(text: str) -> dict[int, int]:
    """Return the confirmed rows: their primary keys with their epochs.

    :raises BadRequest: if the confirmation page cannot have sent this text.
    """
    pairs = [pair.split("-") for pair in text.split(",")]
    if len(pairs) > MAX_ROWS or any(len(pair) != 2 for pair in pairs):
        raise BadRequest("The confirmation is invalid.")
    return {_parse_number(pk): _parse_number(epoch) for pk, epoch in pairs}


def _change_row(action: ConfirmedAction, pk: int, epoch: int, person: Any, using: str) -> bool:
    # One statement for each row, on columns of the row only. A join would turn the condition into a subquery, which
    # PostgreSQL does not evaluate again after it has waited for a worker's lock.
    return bool(action.change(Delivery.objects.using(using).filter(pk=pk, epoch=epoch), person))


def _report(
    action: ConfirmedAction, model_admin: admin.ModelAdmin, request: HttpRequest, changed: int, skipped: int
) -> None:
    sentences = [action.done(changed)] + ([action.skipped(skipped)] if skipped else [])
    model_admin.message_user(request, " ".join(sentences), messages.SUCCESS if changed else messages.WARNING)


def _parse_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest("The confirmation is invalid.")
    return int(text)
