"""Reading metrics in tests."""

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from notifications.models import NotificationLog
from notifications.monitoring.prometheus import render_metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape() -> Samples:
    """The samples of a scrape by their names and labels, as the parser of prometheus-client reads them."""
    return parse(render_metrics()[0].decode())


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def counted(samples: Samples) -> Counter:
    """What the counters say, by kind, channel, provider, and success or reason."""
    found: Counter = Counter()
    for (name, pairs), number in samples.items():
        labels = dict(pairs)
        if name == "notification_sent_total":
            found["attempt", labels["channel"], labels["provider"], "sent"] += int(number)
        elif name == "notification_failed_total":
            found["attempt", labels["channel"], labels["provider"], labels["reason"]] += int(number)
        elif name == "notification_dropped_total":
            found["drop", labels["channel"], "", labels["reason"]] += int(number)
    return found


def logged() -> Counter:
    """What the log says, in the same form."""
    rows = NotificationLog.objects.filter(kind__in=("attempt", "drop"))
    return Counter(
        (kind, channel, provider, "sent" if success else reason)
        for kind, channel, provider, success, reason in rows.values_list(
            "kind", "channel", "provider", "success", "reason"
        )
    )
