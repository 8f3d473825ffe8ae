"""Filters that do not read the filtered table to find their choices.

Django's own filters would select the distinct values of a column with millions of rows, or list all clusters.
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
from notifications.models import get_cluster_model
from notifications.outcomes import DeliveryState, Reason

CLUSTERS_SHOWN = 50

Choices = list[tuple[Any, str]]


class ChoiceBoxFilter(admin.SimpleListFilter):
    """A filter with many choices, as a select box or a text field with completion instead of links."""

    template = "admin/klaxon/filter_box.html"
    is_typed = False

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the choices without "all", which is a separate link, and set the attributes that the template uses.

        ``hidden_fields`` are the parameters of the other filters, which the form passes on.
        """
        self.clear = changelist.get_query_string(remove=[self.parameter_name])
        others = {name: values for name, values in changelist.filter_params.items() if name != self.parameter_name}
        self.hidden_fields = [(name, value) for name, values in others.items() for value in values]
        choices = [(str(value), label) for value, label in self.lookup_choices]
        selected = self.value()
        if selected and selected not in dict(choices):
            choices.insert(0, (selected, selected))
        self.selected_label = dict(choices).get(selected, selected) if selected else _("All")
        for value, label in choices:
            yield {"value": value, "display": label, "selected": value == selected}


class ChannelFilter(ChoiceBoxFilter):
    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        declared = {name for event in NOTIFICATION_EVENTS.values() for name in event.channels}
        return [(name, name) for name in sorted(declared | conf.current().enabled_channels)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class EventFilter(ChoiceBoxFilter):
    """A text field, because a site may have hundreds of events, and the log contains events that were removed."""

    title = _("event")
    parameter_name = "event"
    is_typed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted(event.name for event in NOTIFICATION_EVENTS.values())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(event=self.value()) if self.value() else queryset


class ReasonFilter(ChoiceBoxFilter):
    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in Reason.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class ClusterFilter(ChoiceBoxFilter):
    """The first clusters by primary key. The URL can name any other cluster: ``?cluster=1234``.

    :cvar is_indexed: whether the table has an index that begins with the cluster; see notifications.admin.window.
    """

    title = _("cluster")
    parameter_name = "cluster"
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        model: type[Model] = get_cluster_model()
        return [(cluster.pk, str(cluster)) for cluster in model._default_manager.order_by("pk")[:CLUSTERS_SHOWN]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            return queryset.filter(cluster=self.value())
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error


class TimedClusterFilter(ClusterFilter):
    """For a table with an index of the cluster and the time of the row."""

    is_ordered_by = "sent_at"


class UnindexedClusterFilter(ClusterFilter):
    is_indexed = False


class DeliveryStateFilter(admin.SimpleListFilter):
    """The states that somebody may have to do something about have an index."""

    title = _("state")
    parameter_name = "state"
    INDEXED = ("ready", "claimed", "sending", "dead", "unknown")

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in DeliveryState.choices]

    @property
    def is_indexed(self) -> bool:
        return self.value() in self.INDEXED

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value in self.INDEXED:
            # A literal, because SQLite uses a partial index for nothing else.
            return queryset.extra(where=[f"klaxon_delivery.state = '{value}'"])  # noqa: S610 - one of five words
        return queryset.filter(state=value) if value else queryset


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
