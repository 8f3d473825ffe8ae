"""Subscriptions to topics, for the person who answers "why do I hear of this?"."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.audited import Audited
from notifications.admin.base import BigTable
from notifications.admin.filters import ClusterFilter
from notifications.events import key_of
from notifications.models import TopicSubscription


@admin.register(TopicSubscription)
class TopicSubscriptionAdmin(Audited, BigTable):
    list_display = ("id", "user", "topic", "cluster", "created_at")
    list_display_links = ("id", "user")
    list_filter = (ClusterFilter,)
    search_help_text = _("A topic, a login name, an email address of an account, a recipient key such as u:42.")
    related = ("user", "cluster")
    raw_id_fields = ("user", "cluster")
    fields = ("user", "cluster", "topic", "created_at")
    readonly_fields = ("created_at",)

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | search.recipient(term, "user") | Q(topic=key_of(term))
