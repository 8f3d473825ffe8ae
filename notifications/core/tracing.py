"""OpenTelemetry spans, if ``NOTIFICATIONS["TRACING"]`` is on. If it is off, a span costs one look at the settings.

The site configures the SDK and the exporter. Attributes contain no addresses, contexts and user ids, and spans contain
no texts of exceptions, which could quote these.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from notifications import conf
from notifications.core.extras import import_optional

MAX_LINKS = 128
"""The links of one span. The SDK keeps as many by default."""
OFF: AbstractContextManager[Any] = nullcontext()


def is_on() -> bool:
    return conf.current().tracing


def trace_send(event: str) -> AbstractContextManager[Any]:
    """Return the span of a ``send()``, as a context. Its value is None if tracing is off."""
    return _start("notification send", "PRODUCER", {"notification.event": event}) if is_on() else OFF


def trace_group(channel: str, provider: str, deliveries: Iterable[Any]) -> AbstractContextManager[Any]:
    """Return the span in which a worker delivers a group that it has claimed, with links to the spans of the sends."""
    return _start_group("notification deliver", "CONSUMER", channel, provider, deliveries) if is_on() else OFF


def trace_call(channel: str, provider: str, deliveries: Iterable[Any]) -> AbstractContextManager[Any]:
    """Return the span in which a provider gets the messages of a group, with links to the spans of the sends."""
    return _start_group("notification call", "CLIENT", channel, provider, deliveries) if is_on() else OFF


def describe_call(span: Any, results: Iterable[Any]) -> None:
    """Add the number of accepted and of failed messages to the span of a call."""
    if span is None:
        return
    verdicts = [item.receipt.verdict.value for item in results]
    accepted = verdicts.count("accepted")
    span.set_attributes({"notification.accepted": accepted, "notification.failed": len(verdicts) - accepted})
    if accepted < len(verdicts):
        span.set_status(_load().StatusCode.ERROR)


def make_traceparent() -> str | None:
    """Return the present span as in W3C Trace Context, for storing; None if tracing is off or there is no span."""
    if not is_on():
        return None
    carrier: dict[str, str] = {}
    import_optional("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _start_group(
    name: str, kind: str, channel: str, provider: str, deliveries: Iterable[Any]
) -> AbstractContextManager[Any]:
    rows = list(deliveries)
    attributes = {
        "notification.channel": channel,
        "notification.provider": provider,
        "notification.deliveries": len(rows),
    }
    return _start(name, kind, attributes, _make_links(rows))


def _make_links(deliveries: Iterable[Any]) -> list[Any]:
    trace = _load()
    propagator = import_optional("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
    parents = {delivery.notification.traceparent for delivery in deliveries} - {None, ""}
    contexts = (
        trace.get_current_span(propagator.extract({"traceparent": parent})).get_span_context()
        for parent in sorted(parents)[:MAX_LINKS]
    )
    return [trace.Link(context) for context in contexts if context.is_valid]


@contextmanager
def _start(name: str, kind: str, attributes: Mapping[str, Any], links: Iterable[Any] = ()) -> Iterator[Any]:
    trace = _load()
    with trace.get_tracer("notifications").start_as_current_span(
        name,
        kind=trace.SpanKind[kind],
        attributes=attributes,
        links=list(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise


@cache
def _load() -> Any:
    return import_optional("opentelemetry.trace")
