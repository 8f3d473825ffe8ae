"""Rendering of an email with a staff template, and with the same template compiled by Jinja2's sandbox in this process.

Both sides render groups of fifty. Klaxon's includes everything that a worker does: finding the template, building the
variables, the round trip to the cage, and reading the result. The other side only renders; its variables are built.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from jinja2.sandbox import ImmutableSandboxedEnvironment

from benchmarks import outbox
from benchmarks.figures import Figures, ratio
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from notifications.channels.email import EmailChannel
from notifications.delivering.rendering.templates import build_variables, get_locale
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, StaffTemplate
from notifications.sending.gates import Person
from notifications.staff_templates.cage.pool import CAGE
from notifications.staff_templates.publishing import publish
from notifications.staff_templates.rendering import render_group

GROUP = 50
HTML = """
<style>
  td { padding: 4px 8px; border-bottom: 1px solid #dddddd; font-size: 14px }
  .price { text-align: right; color: #003366 }
  h1 { font-size: 20px; margin: 0 0 12px }
  p { margin: 0 0 12px; line-height: 1.5 }
</style>
<h1>Order {{ number }}</h1>
<p>Dear {{ recipient.full_name }}, your order {{ number }} comes on {{ day }}.{% if rows|length > 1 %}
It has {{ rows|length }} parts.{% endif %}</p>
<table>{% for row in rows %}
<tr><td>{{ loop.index }}</td><td>{{ row.name|upper }}</td><td>{{ row.count }}</td>
<td class="price">{{ row.price }}</td></tr>
{%- endfor %}</table>
<p><a href="{{ base_url }}/orders/{{ number }}/">Follow your order</a></p>
"""
TEXT = """Dear {{ recipient.full_name }}, your order {{ number }} comes on {{ day }}.
{% for row in rows %}{{ loop.index }}. {{ row.name|upper }} {{ row.count }} {{ row.price }}
{% endfor %}{{ base_url }}/orders/{{ number }}/
"""
TEXTS = {"subject": "Order {{ number }} comes on {{ day }}", "html": HTML, "text": TEXT}


def run(place: Place) -> Iterator[Figures]:
    version = StaffTemplate.objects.create(event="bench_order", channel="email").save_version(TEXTS, 0)
    outbox.clear()
    outbox.fill(BenchEvents.ORDER, GROUP)
    publish(version)
    event = NOTIFICATION_EVENTS[BenchEvents.ORDER]
    deliveries = Delivery.objects.select_related("notification__cluster", "recipient")
    items = [
        SimpleNamespace(delivery=row, event=event, person=Person(row.recipient_key, row.recipient))
        for row in deliveries
    ]
    sides = (make_klaxon(items), make_bare(items, {**TEXTS, "html": version.inlined_html}))
    times: list[list[float]] = [[], []]
    for _ in range(place.size(300, 10)):
        for side, seconds in zip(sides, times, strict=True):
            began = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - began)
    CAGE.close()
    ours, bare = (statistics.median(seconds) / GROUP * 1e6 for seconds in times)
    details = f"{ours:,.0f} µs for an email, {bare:,.0f} µs by Jinja2's sandbox alone, which renders the same texts"
    what = f"rendering a staff template in groups of {GROUP}, to Jinja2's sandbox alone"
    yield Figures(what, place.database, ratio(*times), "x", 2, False, details)


def make_klaxon(items: list[SimpleNamespace]) -> Callable[[], object]:
    channel = EmailChannel()

    def render() -> object:
        found = render_group(channel, items, "default")
        assert len(found) == GROUP
        assert not any(isinstance(one, Exception) for one in found.values())
        return found

    render()
    return render


def make_bare(items: list[SimpleNamespace], texts: dict[str, str]) -> Callable[[], object]:
    escaping, plain = (ImmutableSandboxedEnvironment(autoescape=is_html) for is_html in (True, False))
    templates = [(escaping if name == "html" else plain).from_string(text) for name, text in texts.items()]
    variables = []
    for item in items:
        notification = item.delivery.notification
        user, locale = item.person.user, get_locale(None)
        values = build_variables(item.event, "email", notification, user, locale)
        variables.append({**values, "recipient": {"full_name": user.get_full_name() or user.username}})

    def render() -> object:
        return [[template.render(values) for template in templates] for values in variables]

    return render
