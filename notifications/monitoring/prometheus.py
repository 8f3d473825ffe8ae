"""The metrics for Prometheus, read from the tables of figures at the time of the scrape.

They are the metrics of the whole site, so any number of web processes return the same values, and no process keeps or
shares any. No label has an unlimited number of values: there are no users, events or clusters among them.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connections, router

from notifications import conf
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.core.extras import import_optional
from notifications.models import Circuit, EscalationRun, Figure, Heartbeat, Pause
from notifications.monitoring.probes.workers import is_alive
from notifications.storage.engine import get_engine
from notifications.storage.figures import LATENCY_LIMITS, SENT, FigureKey, Sums, read_totals
from notifications.storage.queue_depth import MAX_COUNTED, measure_delays, measure_queue

logger = logging.getLogger("notifications.monitoring")

MAX_PROVIDERS = 100
"""How many names of providers of a channel are shown. The others together are "other"."""
DATABASE_UP = "notification_database_up"
PREFIX = "notification"
Totals = Mapping[FigureKey, Sums]


class FigureCollector:
    """A collector of prometheus-client. Register it in a registry of the host to show the metrics in a page of it."""

    def describe(self) -> list[Any]:
        """Return nothing, so that registering the collector does not read the database."""
        return []

    @read_from_primary()
    def collect(self) -> Iterator[Any]:
        """Yield the metrics. If the database cannot be reached, yield only ``notification_database_up``, which is 0.

        Counters are left out then, because a 0 would look as if they had started again.

        :raises django.db.Error: if the database refuses a statement, for example because of a missing migration.
        """
        core, using = import_optional("prometheus_client.core"), router.db_for_write(Figure)
        began = time.monotonic()
        families = _read_if_reachable(core, using)
        up = core.GaugeMetricFamily(DATABASE_UP, "Whether the database of the notifications can be reached.")
        up.add_metric([], int(bool(families)))
        yield up
        yield from families
        if families:
            seconds = core.GaugeMetricFamily(f"{PREFIX}_scrape_seconds", "Seconds that reading these metrics took.")
            seconds.add_metric([], time.monotonic() - began)
            yield seconds


def render_metrics() -> tuple[bytes, str]:
    """Return the metrics in the text format of Prometheus, and its content type.

    :raises MissingExtra: if prometheus-client is not installed.
    """
    client = import_optional("prometheus_client")
    registry = client.CollectorRegistry(auto_describe=False)
    registry.register(FigureCollector())
    return client.generate_latest(registry), client.CONTENT_TYPE_PLAIN_0_0_4


def _read_if_reachable(core: Any, using: str) -> list[Any]:
    """Return the metrics, or an empty list if the database cannot be reached."""
    connection = connections[using]
    # An open connection may have broken since it was used last, so the second try opens another one.
    for is_last in (connection.connection is None or connection.in_atomic_block, True):
        try:
            return _read_metrics(core, using)
        except Error as error:
            if not get_engine(using).is_unreachable(error):
                raise
            if is_last:
                logger.warning("The metrics cannot be read, because the database cannot be reached: %s", error)
                break
            connection.close()
    return []


def _read_metrics(core: Any, using: str) -> list[Any]:
    now, totals = clock.now(using), merge_providers(read_totals(using))
    outcomes = [*_collect_outcomes(core, totals), _collect_latency(core, totals)]
    return [*outcomes, *_collect_queue(core, using, now), *_collect_state(core, using, now)]


def merge_providers(totals: Totals) -> Totals:
    """Return the totals in which a channel has at most :data:`MAX_PROVIDERS` providers, and ``"other"``.

    The providers of the settings come first. A channel of the host may return any others in its receipts.
    """
    names: dict[str, set[str]] = defaultdict(set)
    for key in totals:
        names[key.channel].add(key.provider)
    if all(len(found) <= MAX_PROVIDERS for found in names.values()):
        return totals
    shown = {channel: _choose_providers(channel, found) for channel, found in names.items()}
    merged: dict[FigureKey, Sums] = {}
    for key, sums in totals.items():
        target = key if key.provider in shown[key.channel] else key._replace(provider="other")
        merged[target] = [a + b for a, b in zip(merged.get(target, [0] * len(sums)), sums, strict=True)]
    return merged


def _choose_providers(channel: str, names: set[str]) -> set[str]:
    configured = conf.current().channel(channel)
    own = {"", *(provider.name for provider in configured.providers)} if configured else {""}
    return own if len(names) > MAX_PROVIDERS else names


def _collect_outcomes(core: Any, totals: Totals) -> Iterator[Any]:
    sent = core.CounterMetricFamily(
        f"{PREFIX}_sent", "Messages that a provider has accepted.", labels=["channel", "provider", "band"]
    )
    failed = core.CounterMetricFamily(
        f"{PREFIX}_failed", "Attempts that failed.", labels=["channel", "provider", "reason"]
    )
    dropped = core.CounterMetricFamily(
        f"{PREFIX}_dropped", "Deliveries that were not tried.", labels=["channel", "reason"]
    )
    calls = core.SummaryMetricFamily(
        f"{PREFIX}_call_seconds", "Seconds that providers took to answer.", labels=["channel", "provider"]
    )
    sums: dict[tuple[Any, tuple[str, ...]], int] = defaultdict(int)
    durations: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for key, (count, call_seconds, *_latencies) in totals.items():
        if key.kind == "drop":
            sums["dropped", (key.channel, key.outcome)] += count
        if key.kind != "attempt":
            continue
        if key.outcome == SENT:
            sums["sent", (key.channel, key.provider, key.band)] += count
        else:
            sums["failed", (key.channel, key.provider, key.outcome)] += count
        durations[key.channel, key.provider][0] += count
        durations[key.channel, key.provider][1] += call_seconds
    families = {"sent": sent, "failed": failed, "dropped": dropped}
    for (name, labels), count in sums.items():
        families[name].add_metric(labels, count)
    for labels, (count, seconds) in durations.items():
        calls.add_metric(labels, count_value=count, sum_value=seconds)
    yield from (*families.values(), calls)


def _collect_latency(core: Any, totals: Totals) -> Any:
    latency = core.HistogramMetricFamily(
        f"{PREFIX}_latency_seconds", "Seconds from the time a message was due to its acceptance.",
        labels=["channel", "band"],
    )  # fmt: skip
    sums: dict[tuple[str, str], list[float]] = {}
    for key, (count, _call_seconds, seconds, *within) in totals.items():
        if key.kind == "attempt" and key.outcome == SENT:
            known = sums.get((key.channel, key.band), [0.0] * (len(within) + 2))
            sums[key.channel, key.band] = [a + b for a, b in zip(known, [seconds, *within, count], strict=True)]
    limits = [*(f"{limit:.1f}" for limit in LATENCY_LIMITS), "+Inf"]
    for labels, (seconds, *counts) in sums.items():
        latency.add_metric(labels, buckets=list(zip(limits, counts, strict=True)), sum_value=seconds)
    return latency


def _collect_queue(core: Any, using: str, now: datetime) -> Iterator[Any]:
    queue = measure_queue(using)
    size = core.GaugeMetricFamily(f"{PREFIX}_queue_size", "Deliveries in the queue.", labels=["state", "band"])
    for state, bands in queue.depth.items():
        for band, count in bands.items():
            size.add_metric([state, band], count)
    yield size
    delays = core.GaugeMetricFamily(
        f"{PREFIX}_queue_delay_seconds", "Seconds by which the oldest due delivery is late.", labels=["band"]
    )
    late = core.GaugeMetricFamily(
        f"{PREFIX}_queue_delay_limit_seconds", "Seconds by which it may be late: METRICS['LATENCY'].", labels=["band"]
    )
    limits = conf.current().get_latency_limits()
    for band, seconds in measure_delays(using, now).items():
        delays.add_metric([band], seconds)
        late.add_metric([band], limits[band])
    yield from (delays, late)
    dead = core.GaugeMetricFamily(f"{PREFIX}_dead_letters", "Deliveries that have failed finally.")
    dead.add_metric([], queue.dead)
    yield dead


def _collect_state(core: Any, using: str, now: datetime) -> Iterator[Any]:
    site = conf.current()
    workers = core.GaugeMetricFamily(f"{PREFIX}_workers", "Worker processes that are alive.")
    workers.add_metric([], sum(is_alive(row, now) for row in Heartbeat.objects.using(using)))
    needed = core.GaugeMetricFamily(f"{PREFIX}_workers_needed", "Whether the site needs a worker process.")
    needed.add_metric([], int(site.enabled and site.delivery == "queued" and not site.celery))
    yield from (workers, needed)
    circuits = core.GaugeMetricFamily(
        f"{PREFIX}_circuit_open_seconds", "Seconds for which a provider has not been used.", labels=["provider"]
    )
    for row in Circuit.objects.using(using).exclude(open_until=None).order_by("key"):
        circuits.add_metric([row.key], max(0.0, (now - (row.opened_at or now)).total_seconds()))
    yield circuits
    paused = core.GaugeMetricFamily(f"{PREFIX}_paused", "Channels that staff have paused.", labels=["channel"])
    for channel in sorted(Pause.objects.using(using).channel_names()):
        paused.add_metric([channel], 1)
    yield paused
    escalations = core.GaugeMetricFamily(
        f"{PREFIX}_escalations_overdue", "Escalations whose next step is more than a minute late."
    )
    overdue = EscalationRun.objects.using(using).filter(due_at__lt=now - timedelta(minutes=1))
    escalations.add_metric([], overdue[: MAX_COUNTED + 1].count())
    yield escalations
