"""Filters whose choices are known without reading the table that they filter.

Django's own would ask for the distinct values of a column of millions of rows, or list every cluster there is.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.addresses import VALIDATORS
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import cluster_model
from notifications.outcomes import Reason

CLUSTERS_SHOWN = 50

Choices = list[tuple[Any, str]]


class Picked(admin.SimpleListFilter):
    """One box for what would be too many links: a list to choose from, or a field that completes what is typed."""

    template = "admin/klaxon/filter_box.html"
    is_typed = False

    def choices(self, changelist: Any) -> Iterator[Any]:
        """The choices without "all", which is a link of its own, and the other parameters, which the form hands on."""
        self.clear = changelist.get_query_string(remove=[self.parameter_name])
        kept = {name: values for name, values in changelist.filter_params.items() if name != self.parameter_name}
        self.kept = [(name, value) for name, values in kept.items() for value in values]
        found = [(str(value), label) for value, label in self.lookup_choices]
        typed = self.value()
        if typed and typed not in dict(found):
            found.insert(0, (typed, typed))
        self.shown = dict(found).get(typed, typed) if typed else _("All")
        for value, label in found:
            yield {"value": value, "display": label, "selected": value == typed}


class ChannelFilter(Picked):
    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        declared = {name for event in NOTIFICATION_EVENTS.values() for name in event.channels}
        return [(name, name) for name in sorted(declared | conf.current().enabled_channels)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class EventFilter(Picked):
    """Typed, for a site may have hundreds, and the log knows events that are no longer registered."""

    title = _("event")
    parameter_name = "event"
    is_typed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted(event.name for event in NOTIFICATION_EVENTS.values())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(event=self.value()) if self.value() else queryset


class ReasonFilter(Picked):
    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in Reason.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class ClusterFilter(Picked):
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
