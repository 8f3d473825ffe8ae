"""The members on the page of a cluster. They are added by name and removed row by row, and never all loaded.

The form contains the members to add and to remove, not the whole list. Therefore saving it keeps members that somebody
else has added in the meantime, and it costs the same for twenty thousand members as for twenty.
"""

from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.widgets import AutocompleteSelectMultiple, ManyToManyRawIdWidget
from django.contrib.auth import get_user_model
from django.core.paginator import Page, Paginator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.models import Cluster

MEMBERS_SHOWN = 50
PAGE, SEARCH = "p", "member"
ADDED, REMOVED = "new_members", "removed_members"

MEMBERS: Any = Cluster._meta.get_field("members")


class RemovedMembers(forms.MultipleChoiceField):
    """Primary keys of users. A user who was removed or deleted in the meantime is not an error."""

    def to_python(self, value: Any) -> list[Any]:
        return [get_user_model()._meta.pk.to_python(key) for key in super().to_python(value)]

    def valid_value(self, value: Any) -> bool:
        return True


class ClusterForm(forms.ModelForm):
    # make_user_field() replaces this field to set its widget.
    new_members = forms.ModelMultipleChoiceField(
        get_user_model()._default_manager.none(), required=False, label=_("add members")
    )
    removed_members = RemovedMembers(required=False)

    class Meta:
        model = Cluster
        fields = ("name", "slug", "open_to_all")

    @property
    def changed_data(self) -> list[str]:
        # The history names each member instead.
        return [name for name in super().changed_data if name not in (ADDED, REMOVED)]


def make_user_field(model_admin: ModelAdmin, request: HttpRequest) -> forms.Field:
    """Return a field with autocomplete if the admin of the user model can search and this user can view it; otherwise
    a field for primary keys."""
    widget: Any
    if can_autocomplete(model_admin, request):
        widget = AutocompleteSelectMultiple(MEMBERS, model_admin.admin_site)
    else:
        widget = ManyToManyRawIdWidget(MEMBERS.remote_field, model_admin.admin_site)
    users = get_user_model()._default_manager.all()
    return forms.ModelMultipleChoiceField(users, required=False, widget=widget, label=_("Add members"))


def can_autocomplete(model_admin: ModelAdmin, request: HttpRequest) -> bool:
    """Return whether a field can suggest users: their admin can be searched, and this person may view it."""
    try:
        users = model_admin.admin_site.get_model_admin(get_user_model())
    except NotRegistered:
        return False
    return bool(users.get_search_fields(request)) and users.has_view_permission(request)


def build_context(cluster: Cluster, form: Any, model_admin: ModelAdmin, request: HttpRequest) -> dict[str, Any]:
    """Return the context with which the template shows one page of members."""
    searched = request.GET.get(SEARCH, "")
    page = find_page(cluster, searched, request.GET.get(PAGE))
    users = [getattr(row, MEMBERS.m2m_reverse_field_name()) for row in page]
    return {
        "members": page,
        "page_numbers": page.paginator.get_elided_page_range(page.number),
        "users": [(user, columns.link_to_page(model_admin.admin_site, user)) for user in users],
        "searched": searched,
        "removed": (form.is_bound and form.cleaned_data.get(REMOVED)) or (),
    }


def find_page(cluster: Cluster, searched: str, number: Any) -> Page:
    """Return one page of the members that match the search, the latest first."""
    user = MEMBERS.m2m_reverse_field_name()
    rows = MEMBERS.remote_field.through.objects.filter(**{MEMBERS.m2m_field_name(): cluster})
    for word in search.split_terms(searched):
        # PostgreSQL raises an error for a text with a zero byte, and no name contains one.
        rows = rows.none() if "\0" in word else rows.filter(search.match_recipient(word, user))
    return Paginator(rows.select_related(user).order_by("-pk"), MEMBERS_SHOWN).get_page(number)


def save_members(cluster: Cluster, added: Any, removed: list[Any]) -> list[dict[str, Any]]:
    """Add and remove members, and return the entries for the history of Django's admin."""
    removed_users = list(cluster.members.filter(pk__in=removed))
    cluster.members.remove(*removed_users)
    cluster.members.add(*added)
    entries = [("added", user) for user in added] + [("deleted", user) for user in removed_users]
    return [_make_history_entry(verb, user) for verb, user in entries]


def _make_history_entry(verb: str, user: Any) -> dict[str, Any]:
    return {verb: {"name": "member", "object": str(user)}}
