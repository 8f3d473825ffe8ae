"""The admin of rotas: layers with their members, overrides, and time off."""

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import LargeTableAdmin, StyledAdmin
from notifications.admin.relations import AutocompleteAdmin
from notifications.models import Rota, RotaLayer, RotaMember, RotaOverride, TimeOff


class LayerInline(admin.TabularInline):
    model = RotaLayer
    extra = 0
    show_change_link = True


class OverrideInline(admin.TabularInline):
    model = RotaOverride
    extra = 0
    raw_id_fields = ("user",)


class MemberInline(admin.TabularInline):
    model = RotaMember
    extra = 1
    raw_id_fields = ("user",)


@admin.register(Rota)
class RotaAdmin(AutocompleteAdmin, StyledAdmin):
    """Rotas with their layers. The members of a layer are on the page of the layer."""

    inlines = (LayerInline, OverrideInline)
    list_display = ("name", "key", "cluster", "time_zone")
    list_select_related = ("cluster",)
    raw_id_fields = ("cluster",)


@admin.register(RotaLayer)
class RotaLayerAdmin(StyledAdmin):
    """The members of a layer. Layers are listed with their rota."""

    inlines = (MemberInline,)
    list_display = ("rota", "order", "starts_on", "hand_over", "turn_days")
    list_select_related = ("rota",)
    raw_id_fields = ("rota",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(TimeOff)
class TimeOffAdmin(AutocompleteAdmin, LargeTableAdmin):
    """The latest entries are the first."""

    list_display = ("user", "starts_at", "ends_at", "note")
    related_fields = ("user",)
    raw_id_fields = ("user",)
    search_help_text = _("Enter a complete login name or email address of an account, or a recipient key such as u:42.")

    def get_search_condition(self, term: str) -> Q:
        return search.match_recipient(term, "user")
