"""Spans of OpenTelemetry: a provider call links to the send, nothing private is in them, and none are made when off."""

import sys

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from notifications.core import tracing
from notifications.models import Delivery, Notification
from notifications.outcomes import Verdict
from tests.delivering.conftest import scripted_channel  # noqa: F401 - a fixture
from tests.delivering.scripted import ScriptedChannel, dispatch, refuse_orders

pytestmark = [pytest.mark.needs("opentelemetry"), pytest.mark.django_db, pytest.mark.usefixtures("scripted_channel")]
EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider():
    """The provider of this process, which can be set only once."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)


@pytest.fixture
def spans(settings, provider):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TRACING": True}
    EXPORTER.clear()
    return lambda: {span.name: span for span in EXPORTER.get_finished_spans()}


def test_the_call_of_the_provider_links_to_the_send(spans, scripted_channel):  # noqa: F811
    with trace.get_tracer("host").start_as_current_span("request") as request:
        refuse_orders(2)
    dispatch()
    found = spans()
    send, group, call = (found[f"notification {name}"] for name in ("send", "deliver", "call"))
    assert send.parent.span_id == request.get_span_context().span_id
    assert send.attributes == {"notification.event": "order_refused"}
    assert [link.context.span_id for link in group.links] == [send.context.span_id]
    assert [link.context.trace_id for link in call.links] == [send.context.trace_id]
    assert call.parent.span_id == group.context.span_id
    assert (call.kind, group.kind, send.kind) == (
        trace.SpanKind.CLIENT,
        trace.SpanKind.CONSUMER,
        trace.SpanKind.PRODUCER,
    )
    assert call.attributes["notification.accepted"] == call.attributes["notification.deliveries"] == 2
    assert call.status.is_ok


def test_failures_are_errors_without_their_texts(spans):
    ScriptedChannel.answers = [ValueError("user7@example.com has a secret")]
    refuse_orders(1)
    dispatch()
    call = spans()["notification call"]
    assert call.status.status_code is trace.StatusCode.ERROR
    assert call.attributes["notification.failed"] == 1
    assert not any("example.com" in span.to_json() for span in EXPORTER.get_finished_spans())


def test_an_error_of_send_names_its_type_only(spans, monkeypatch):
    def fail(*args):
        raise OSError("user7@example.com")

    monkeypatch.setattr("notifications.manager.enqueue", fail)
    with pytest.raises(OSError, match="user7"):
        refuse_orders(1)
    send = spans()["notification send"]
    assert (send.attributes["error.type"], send.status.status_code) == ("OSError", trace.StatusCode.ERROR)
    assert "user7" not in send.to_json()


def test_a_group_has_at_most_so_many_links(spans, monkeypatch):
    monkeypatch.setattr(tracing, "MAX_LINKS", 3)
    for _ in range(5):
        refuse_orders(1)
    dispatch()
    assert len(spans()["notification call"].links) == 3


def test_a_stored_parent_that_is_damaged_is_left_out(spans):
    refuse_orders(1)
    Notification.objects.update(traceparent="00-damaged")
    assert dispatch() == {"sent": 1}
    assert spans()["notification call"].links == ()


def test_when_off_nothing_is_made_or_imported(settings, monkeypatch):
    EXPORTER.clear()
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    tracing._load.cache_clear()
    ScriptedChannel.answers = [Verdict.ACCEPTED]
    refuse_orders(1)
    assert dispatch() == {"sent": 1}
    assert EXPORTER.get_finished_spans() == ()
    assert Delivery.objects.get().notification.traceparent is None
    assert tracing.trace_send("x") is tracing.trace_group("x", "y", ()) is tracing.OFF
