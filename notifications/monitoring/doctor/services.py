"""Services that a site may use: Redis, the broker of Celery, and a backend of ``django.tasks``."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any
from uuid import uuid4

from notifications import celery, conf, tasks
from notifications.core.extras import import_optional
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.side_by_side import run_side_by_side
from notifications.monitoring.doctor.site import Site

SECONDS = 3.0
REDIS_SETTING = "NOTIFICATIONS['LIVE_REDIS']"
IDLE_BACKENDS = {
    "DummyBackend": "It stores tasks and never runs them, so nothing is delivered.",
    "ImmediateBackend": "It runs tasks in the process that sends, which then waits for the providers.",
}
"""The backends of Django that are meant for development and tests."""


def examine_redis(site: Site) -> Iterator[Diagnosis]:
    """Publish through Redis, and wait for the message."""
    if conf.current().live_redis:
        remedy = f"Check that Redis runs, and {REDIS_SETTING}. Until then, live pages are up to some seconds late."
        yield from run_side_by_side({"redis": lambda: _examine_redis(remedy)}, site.seconds, remedy)


def _examine_redis(remedy: str) -> Iterator[Diagnosis]:
    redis = import_optional("redis")
    client = redis.Redis.from_url(conf.current().live_redis, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    channel = f"klaxon_inbox:doctor:{uuid4().hex}"
    try:
        with client.pubsub() as subscription:
            subscription.subscribe(channel)
            # The first message confirms the subscription.
            subscription.get_message(timeout=SECONDS)
            client.publish(channel, "doctor")
            message = subscription.get_message(timeout=SECONDS)
    except redis.RedisError as error:
        # The text contains the host and the port, and no password.
        yield Diagnosis(Status.ERROR, "redis", f"Redis cannot be used: {type(error).__name__}: {error}", remedy)
        return
    finally:
        client.close()
    if message is None:
        yield Diagnosis(Status.ERROR, "redis", "Redis answers, but a published message did not arrive.", remedy)
    else:
        yield Diagnosis(Status.OK, "redis", "A message that is published through Redis arrives.")


def examine_celery(site: Site) -> Iterator[Diagnosis]:
    """Connect to the broker, and ask for workers."""
    if conf.current().celery:
        remedy = "Check that the broker runs, and the setting broker_url of Celery. Until then, deliveries wait."
        yield from run_side_by_side({"celery": lambda: _examine_celery(remedy)}, site.seconds, remedy)


def _examine_celery(remedy: str) -> Iterator[Diagnosis]:
    if not celery.is_enabled():
        import_optional("celery")
    app = import_module("celery").current_app
    options = {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS, "retry_on_timeout": False}
    broker = app.connection_for_write(connect_timeout=SECONDS, transport_options=options)
    try:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
    except (import_module("kombu").exceptions.OperationalError, OSError) as error:
        detail = f"The broker {broker.as_uri()} cannot be reached: {type(error).__name__}: {error}"
        yield Diagnosis(Status.ERROR, "celery broker", detail, remedy)
        return
    finally:
        broker.release()
    yield Diagnosis(Status.OK, "celery broker", f"The broker {broker.as_uri()} answers.")
    replies: Any = app.control.ping(timeout=1.0)
    if replies:
        names = ", ".join(sorted(name for reply in replies for name in reply))
        yield Diagnosis(Status.OK, "celery workers", f"These workers answer: {names}.")
    else:
        detail = "No worker of Celery has answered within a second."
        advice = "Start one for the queues of Klaxon, as the page about Celery describes."
        yield Diagnosis(Status.WARNING, "celery workers", detail, advice)


def examine_tasks(site: Site) -> Iterator[Diagnosis]:
    """Examine the backend of ``django.tasks``."""
    if not tasks.is_enabled():
        # A check reports a backend that does not exist.
        return
    name = conf.current().task_backend
    django_tasks: Any = import_module("django.tasks")
    backend = django_tasks.task_backends[name]
    faults = [str(message) for message in backend.check()]
    kind = type(backend).__name__
    setting = f"TASKS[{name!r}]"
    if faults:
        yield Diagnosis(Status.ERROR, "tasks", f"{setting}: {' '.join(faults)}", f"Correct {setting}.")
    elif kind in IDLE_BACKENDS and type(backend).__module__.startswith("django.tasks."):
        advice = f"Set BACKEND of {setting} to one whose workers run tasks, or run dispatch_notifications."
        yield Diagnosis(Status.WARNING, "tasks", f"{setting} is {kind}. {IDLE_BACKENDS[kind]}", advice)
    else:
        yield Diagnosis(Status.OK, "tasks", f"{setting} is {kind}, and it can be used.")
