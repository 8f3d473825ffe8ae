"""Rendering of an email: a template that extends Klaxon's layout, and one with the same content that is a whole page.

Both events have the same subject and text. The measurement includes everything that a worker does to render a delivery:
the variables, the three parts, and what the layout shows. The CSS of the layout is inlined before, as in a worker.
"""

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks import outbox
from benchmarks.figures import Figures, ratio
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from notifications.channels.email import EmailChannel
from notifications.delivering.rendering import get_locale, render_delivery, use_locale
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery
from notifications.sending.gates import Person

SIDES = (BenchEvents.LAYOUT, BenchEvents.MAIL)


def run(place: Place) -> Iterator[Figures]:
    renderers = [make_renderer(event) for event in SIDES]
    times: list[list[float]] = [[], []]
    for _ in range(place.size(200, 20)):
        # Rounds are short, so that other work on the machine affects both sides.
        for renderer, seconds in zip(renderers, times, strict=True):
            seconds.append(measure(renderer, 10))
    layout, page = (statistics.median(seconds) * 1e6 for seconds in times)
    details = f"{layout:,.0f} µs for a delivery with the layout, {page:,.0f} µs for a page without it"
    what = "rendering an email with the layout, to one without"
    yield Figures(what, place.database, ratio(*times), "x", 1.3, False, details)


def make_renderer(event: BenchEvents) -> Callable[[], object]:
    """Return a function that renders one delivery of an event, after it was rendered once."""
    outbox.clear()
    outbox.fill(event, 1)
    delivery = Delivery.objects.select_related("notification__cluster", "recipient").get()
    person, channel = Person(delivery.recipient_key, delivery.recipient), EmailChannel()
    found = NOTIFICATION_EVENTS[event]

    def render() -> object:
        locale = get_locale(person.settings)
        with use_locale(locale):
            return render_delivery(delivery, found, person, channel, locale)

    render()
    return render


def measure(renderer: Callable[[], object], count: int) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    for _ in range(count):
        renderer()
    return (time.perf_counter() - began) / count
