"""Throughput of plain deliveries beside deliveries whose staff templates are hostile, and beside harmless ones.

One delivery in a hundred has a staff template, each of a tenth of them another one. Both sides have the same number of
deliveries in the same order. The worker is new in each round, and so are the versions, so none is known to be hostile.
The rate is that of the plain deliveries alone, from the first hundred to nearly the last.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence

from django.contrib.auth.models import User

from benchmarks import outbox
from benchmarks.discard import read_stamps
from benchmarks.figures import Figures, ratio
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import run_process, wait_until, worker_options
from notifications.models import Cluster, Delivery, StaffTemplate

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = (
    LOOP,
    "{{ range(99999)|join('x' * 99999) }}{{ 9 ** (9 ** 9) }}",
    "{% macro m(n) %}{% for i in range(99999) %}{{ m(n) }}{% endfor %}{% endmacro %}{{ m(1) }}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ ('x\n' * 99999)|indent(99999) }}",
    "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% for a in range(3) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "{% for a in range(2000000 // 21) %}{% if a is divisibleby(7) %}{{ a }}{% endif %}{% endfor %}",
    "{{ gone }}",
    "{{ 'x ' * 50000 }}",
)
"""Templates that hang, fill the memory, are slow, fail, or have long texts. The gate would not publish most of them."""
HARMLESS = "Memo {{ number }} for {{ recipient.username }}"
SETTING = (2, 500)
SLICES = 20


def run(place: Place) -> Iterator[Figures]:
    plain = place.size(100_000, 4000)
    names = [f"cluster-{number}" for number in range(len(HOSTILE))]
    clusters = [Cluster.objects.create(name=name, slug=name) for name in names]
    for cluster in clusters:
        cluster.members.set(User.objects.all())
    sides: dict[str, Sequence[str]] = {"hostile": HOSTILE, "harmless": [HARMLESS] * len(HOSTILE)}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(place.size(3, 1)):
        for name, texts in sides.items():
            publish(clusters, texts)
            queue(clusters, plain)
            rates[name].append(measure(place, plain))
            print(f"    {name}: {rates[name][-1]:,.0f}/s, {describe_outbox()}", file=sys.stderr, flush=True)
    hostile, harmless = (statistics.median(rates[name]) for name in ("hostile", "harmless"))
    details = (
        f"{hostile:,.0f}/s of {plain:,} beside {plain // 100:,} of {len(HOSTILE)} hostile templates, "
        f"{harmless:,.0f}/s beside as many of harmless ones ({worker_options(SETTING)[1]})"
    )
    what = "no-op deliveries beside hostile staff templates, to harmless ones"
    yield Figures(what, place.database, ratio(rates["hostile"], rates["harmless"]), "x", 0.9, True, details)


def publish(clusters: Sequence[Cluster], texts: Sequence[str]) -> None:
    """Publish a new template for each cluster, past the gate: a hostile one may show only harmless texts there."""
    StaffTemplate.objects.all().delete()
    for cluster, text in zip(clusters, texts, strict=True):
        template = StaffTemplate.objects.create(event="bench_memo", channel="memo", cluster=cluster)
        template.published = template.save_version({"text": text}, 0)
        template.save()


def queue(clusters: Sequence[Cluster], plain: int) -> None:
    outbox.clear()
    for number in range(SLICES):
        outbox.fill(BenchEvents.NOOP, plain // SLICES)
        outbox.fill(BenchEvents.MEMO, plain // SLICES // 100 or 1, cluster=clusters[number % len(clusters)])


def measure(place: Place, plain: int) -> float:
    """Return how many plain deliveries a worker makes in a second."""
    place.start_next()
    first, last = 100, plain * 19 // 20 // 100 * 100
    path, output = place.file("stamps"), place.file("output")
    options, _name = worker_options(SETTING)
    command = ("django", "dispatch_notifications", "--watch", *options)
    with run_process(output, *command, BENCH_STAMPS=str(path)) as process:
        wait_until(lambda: last in read_stamps(path), process, output)
    seen = read_stamps(path)
    return (last - first) / (seen[last] - seen[first])


def describe_outbox() -> str:
    """Return how many deliveries with a staff template are in which state."""
    states = Delivery.objects.filter(channel="memo").values_list("state", flat=True)
    counts = {state: list(states).count(state) for state in set(states)}
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
