"""The admin of topic subscriptions, which answers why a user gets notifications about a topic."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.audited import AuditedAdmin
from notifications.admin.base import LargeTableAdmin
from notifications.admin.filters import ClusterFilter
from notifications.admin.relations import AutocompleteAdmin
from notifications.events import key_of
from notifications.models import TopicSubscription


@admin.register(TopicSubscription)
class TopicSubscriptionAdmin(AutocompleteAdmin, AuditedAdmin, LargeTableAdmin):
    list_display = ("id", "user", "topic", "cluster", "created_at")
    list_display_links = ("id", "user")
    list_filter = (ClusterFilter,)
    search_help_text = _(
        "Enter a complete topic, login name or email address of an account, or a recipient key such as u:42."
    )
    related_fields = ("user", "cluster")
    raw_id_fields = ("user", "cluster")
    fields = ("user", "cluster", "topic", "created_at")
    readonly_fields = ("created_at",)

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term, "user") | Q(topic=key_of(term))
