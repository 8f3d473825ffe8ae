"""The admin of suppressions. Lifting one requires a reason."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import BadRequest
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin.base import PermanentAdmin
from notifications.admin.confirmation import MAX_ROWS, build_confirm_context, list_selected
from notifications.admin.filters import AddressKindFilter, ClusterFilter
from notifications.admin.paging import BoundedPaginator
from notifications.core import clock
from notifications.models import Suppression
from notifications.models.suppression import hash_normalized

LISTED_ROWS = 20
CONFIRMED, NOTE = "confirmed", "note"


@admin.register(Suppression)
class SuppressionAdmin(PermanentAdmin):
    """The addresses that nothing is sent to, and those with counted refusals."""

    list_display = ("address", "kind", "reason", "is_active", "scope", "refusals", "created_at", "lifted_at")
    list_filter = ("is_active", AddressKindFilter, "reason", ClusterFilter)
    search_help_text = gettext_lazy(
        "Enter a complete address. Only hashes are stored, so parts of an address are not found."
    )
    related_fields = ("cluster", "lifted_by")
    actions = ("lift",)
    fieldsets = (
        (None, {"fields": ("address", "kind", "scope", "reason", "detail", "is_active", "refusals", "created_at")}),
        (gettext_lazy("Last lifted"), {"fields": ("lifted_at", "lifted_by", "lift_note")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # The whole text is one address, because a quoted local part can contain spaces.
        return (queryset.filter(address_hash=hash_normalized(search_term)) if search_term.strip() else queryset), False

    @admin.display(description=gettext_lazy("cluster"))
    def scope(self, row: Suppression) -> str:
        return _("all clusters") if row.cluster is None else str(row.cluster)

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.lift_suppression")

    @admin.action(permissions=["lift"], description=gettext_lazy("Lift"))
    def lift(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> TemplateResponse | None:
        note = request.POST.get(NOTE, "").strip()
        if CONFIRMED in request.POST and note:
            # Not the rows of the list, whose filters may no longer match.
            rows = self.get_queryset(request).filter(pk__in=parse_keys(request.POST[CONFIRMED]))
            self._lift(request, rows, note)
            return None
        if CONFIRMED in request.POST:
            keys = parse_keys(request.POST[CONFIRMED])
        else:
            keys = list_selected(queryset, BoundedPaginator.max_count)
        active = list(self.get_queryset(request).filter(pk__in=keys, is_active=True).order_by("pk")[:MAX_ROWS])
        if not active:
            self.message_user(request, _("Nothing to lift: none of the selected rows is active."), messages.WARNING)
            return None
        question = ngettext("Lift %d suppression?", "Lift %d suppressions?", len(active)) % len(active)
        context = {
            **build_confirm_context(self, request, question),
            "first": active[:LISTED_ROWS],
            "rest": max(len(active) - LISTED_ROWS, 0),
            "confirmed": ",".join(str(row.pk) for row in active),
            "is_note_missing": CONFIRMED in request.POST,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/klaxon/suppression/lift.html", context)

    def _lift(self, request: HttpRequest, rows: QuerySet[Suppression], note: str) -> None:
        using = router.db_for_write(Suppression)
        with transaction.atomic(using=using):
            active = list(rows.using(using).filter(is_active=True).select_for_update(of=("self",)))
            chosen = Suppression.objects.using(using).filter(pk__in=[row.pk for row in active])
            count = chosen.lift(request.user, note, clock.now(using))
            LogEntry.objects.log_actions(request.user.pk, active, CHANGE, note)  # type: ignore[arg-type]
        done = ngettext("%d suppression was lifted.", "%d suppressions were lifted.", count) % count
        self.message_user(request, done, messages.SUCCESS if count else messages.WARNING)


def parse_keys(text: str) -> list[int]:
    """Return the primary keys that the confirmation page contains.

    :raises BadRequest: if the page cannot have sent this text.
    """
    keys = text.split(",")
    if len(keys) > MAX_ROWS or not all(key.isascii() and key.isdigit() and len(key) < 19 for key in keys):
        raise BadRequest("The confirmation is invalid.")
    return [int(key) for key in keys]
