"""Actions on deliveries that ask before they act.

What is confirmed is a count, so exactly the rows that were counted are changed, and each only once: the page carries
their numbers with the epoch that each had. A second click, or a row that something else has changed meanwhile, changes
nothing and is told as skipped.
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

from notifications.admin.paging import BoundedPaginator, bounded_count
from notifications.models import Delivery

MOST_AT_ONCE = 1000
SHOWN = 20
FIELD = "confirmed"


@dataclass(frozen=True)
class Confirmed:
    """One action.

    :param name: the method of the admin class that it is.
    :param states: those that it can be done to.
    :param change: the verb; takes the one row as a queryset and the person who acts, and returns how many it changed.
    :param then: called in the same transaction with the deliveries that were changed.
    :param question: a sentence for the page, about a count.
    :param warning: what to know before, for the page.
    :param refusal: the message where it can be done to none.
    :param done: the message afterwards.
    :param skipped: the message about others.
    :param logged: a sentence for the history of a delivery.
    """

    name: str
    states: Sequence[str]
    change: Callable[[Any, Any], int]
    question: Callable[[int], str]
    warning: Any
    refusal: Any
    done: Callable[[int], str]
    skipped: Callable[[int], str]
    logged: Any
    then: Callable[[list[Delivery]], None] = lambda changed: None


def ask_or_act(
    action: Confirmed, model_admin: admin.ModelAdmin, request: HttpRequest, selected: QuerySet[Delivery]
) -> TemplateResponse | None:
    """What the action method returns: the page that asks, or None when it is done or there is nothing to do."""
    if FIELD in request.POST:
        _act(action, model_admin, request, selected)
        return None
    possible = list(selected.filter(state__in=action.states).order_by("pk")[:MOST_AT_ONCE])
    if not possible:
        model_admin.message_user(request, action.refusal, messages.WARNING)
        return None
    return _ask(action, model_admin, request, selected, possible)


def _ask(
    action: Confirmed,
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    selected: QuerySet[Delivery],
    possible: list[Delivery],
) -> TemplateResponse:
    others = bounded_count(selected, BoundedPaginator.most) - len(possible)
    context = {
        **build_confirm_context(model_admin, request, action.question(len(possible))),
        "action": action,
        "others": others,
        "most": MOST_AT_ONCE if len(possible) == MOST_AT_ONCE else None,
        "first": possible[:SHOWN],
        "rest": max(len(possible) - SHOWN, 0),
        "field": FIELD,
        "confirmed": ",".join(f"{row.pk}-{row.epoch}" for row in possible),
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/klaxon/delivery/confirm.html", context)


def build_confirm_context(model_admin: admin.ModelAdmin, request: HttpRequest, question: Any) -> dict[str, Any]:
    """What ``admin/klaxon/confirm.html`` needs."""
    return {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "title": question,
        "breadcrumbs_are_a_list": django.VERSION >= (6, 1),
    }


def _act(action: Confirmed, model_admin: admin.ModelAdmin, request: HttpRequest, selected: QuerySet[Delivery]) -> None:
    epochs = confirmed_epochs(request.POST[FIELD])
    others = _count(request.POST.get("others", "0"))
    rows = list(selected.filter(pk__in=epochs).order_by("pk"))
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        changed = [row for row in rows if _changed(action, row.pk, epochs[row.pk], request.user, using)]
        LogEntry.objects.log_actions(request.user.pk, changed, CHANGE, str(action.logged))  # type: ignore[arg-type]
        action.then(changed)
    _tell(action, model_admin, request, len(changed), len(epochs) - len(changed) + others)


def confirmed_epochs(text: str) -> dict[int, int]:
    """The rows that the page asked about, with their epochs.

    :raises BadRequest: if it is not what the page sent.
    """
    pairs = [pair.split("-") for pair in text.split(",")]
    if len(pairs) > MOST_AT_ONCE or any(len(pair) != 2 for pair in pairs):
        raise BadRequest("This is not what the confirmation page sends.")
    return {_count(pk): _count(epoch) for pk, epoch in pairs}


def _changed(action: Confirmed, pk: int, epoch: int, person: Any, using: str) -> bool:
    # One statement for each row, on the row's own columns only: a join would turn the verb's guard into a subquery,
    # which PostgreSQL does not look at again when it had to wait for a worker.
    return bool(action.change(Delivery.objects.using(using).filter(pk=pk, epoch=epoch), person))


def _tell(action: Confirmed, model_admin: admin.ModelAdmin, request: HttpRequest, changed: int, skipped: int) -> None:
    sentences = [action.done(changed)] + ([action.skipped(skipped)] if skipped else [])
    model_admin.message_user(request, " ".join(sentences), messages.SUCCESS if changed else messages.WARNING)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest("This is not what the confirmation page sends.")
    return int(text)
