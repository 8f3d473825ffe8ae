"""Filters whose choices are known without reading the table that they filter.

Django's own would ask for the distinct values of a column of millions of rows, or list every cluster there is.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.addresses import VALIDATORS
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import cluster_model

CLUSTERS_SHOWN = 50

Choices = list[tuple[Any, str]]


class ChannelFilter(admin.SimpleListFilter):
    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        declared = {name for event in NOTIFICATION_EVENTS.values() for name in event.channels}
        return [(name, name) for name in sorted(declared | conf.current().enabled_channels)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class EventFilter(admin.SimpleListFilter):
    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted(event.name for event in NOTIFICATION_EVENTS.values())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(event=self.value()) if self.value() else queryset


class ClusterFilter(admin.SimpleListFilter):
    """The first clusters by name of their key; any other can be written into the address: ``?cluster=1234``."""

    title = _("cluster")
    parameter_name = "cluster"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        model: type[Model] = cluster_model()
        return [(cluster.pk, str(cluster)) for cluster in model._default_manager.order_by("pk")[:CLUSTERS_SHOWN]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            return queryset.filter(cluster=self.value())
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error


class AddressKindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(kind, kind) for kind in VALIDATORS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class ReadFilter(admin.SimpleListFilter):
    title = _("read or not")
    parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", str(_("read"))), ("no", str(_("unread")))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        unread = {"yes": False, "no": True}.get(self.value() or "")
        return queryset if unread is None else queryset.filter(read_at__isnull=unread)
