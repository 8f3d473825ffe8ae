"""The periodic task of the alarm, and what it does in threads of its own because it uses the network."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router

from notifications import conf
from notifications.channels.http_client import HTTPRequest
from notifications.core.connections import use_own_connections
from notifications.core.databases import is_in_transaction
from notifications.delivering.workers.outage_log import register_outage_listener
from notifications.delivering.workers.periodic_tasks import ShouldStop, register_periodic_task
from notifications.models import Alarm, AlarmTurn, HookCall
from notifications.monitoring.alarm.calls import call_due
from notifications.monitoring.alarm.examination import examine_system
from notifications.monitoring.alarm.hook import HookFailed, request_url
from notifications.monitoring.alarm.recovery import run_recoveries
from notifications.monitoring.alarm.without_database import DatabaseAlarm
from notifications.monitoring.findings import Finding

logger = logging.getLogger("notifications.alarm")

TASK_SECONDS = 5.0
MAX_INTERVAL, MIN_INTERVAL = 10.0, 1.0
"""The seconds between two examinations, of all processes together."""
MAX_EXAMINATION_AGE = timedelta(seconds=60)
"""Without a newer examination that was complete, nobody knows that all is well."""
HEARTBEAT_EVERY = timedelta(seconds=50)
"""With the interval of the task, this is about once a minute."""


class SideThread:
    """Runs one thing at a time in a thread, beside a thread that must not wait for the network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        return self._lock.locked()

    def start(self, work: Callable[[], Any]) -> None:
        """Run ``work`` in a thread, unless another one still runs. The process does not end before it."""
        if self._lock.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, args=(work,), name="klaxon-alarm").start()
            except RuntimeError:
                # The process is ending, or the system has no more threads.
                self._lock.release()
                raise

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            with use_own_connections():
                work()
        except Exception:
            logger.exception("The alarm has failed. It is tried again.")
        finally:
            connections.close_all()
            self._lock.release()


_calls, _outages = SideThread(), SideThread()
_database_alarms: dict[str, DatabaseAlarm] = {}


def connect() -> None:
    """Run the alarm in workers from now on."""
    register_periodic_task("alarm", TASK_SECONDS, run_periodically, is_simulated=False)
    register_outage_listener("alarm", receive_outage)


def get_database_alarm() -> DatabaseAlarm:
    """Return the alarm of this process about Klaxon's database."""
    using = router.db_for_write(Alarm)
    return _database_alarms.setdefault(using, DatabaseAlarm(using))


def run_periodically(now: datetime, should_stop: ShouldStop) -> None:
    """Examine the system if it is this process's turn, and make the calls that are due in a thread."""
    if conf.is_off():
        return
    using = router.db_for_write(Alarm)
    run_recoveries(examine_if_due(using, now), now, should_stop)
    if _calls.is_busy:
        return
    is_alive = may_send_heartbeat(using, now)
    if not (is_alive or get_database_alarm().is_known or HookCall.objects.using(using).due(now)):
        return
    if is_in_transaction(using):
        # In a transaction of the caller, as in a host's tests, another connection would not see the rows.
        make_calls(using, now, is_alive)
    else:
        _calls.start(lambda: make_calls(using, now, is_alive))


def examine_if_due(using: str, now: datetime) -> list[Finding]:
    """Examine the system if it is this process's turn, and return the findings that are not healthy."""
    # At least twice within the time after which a cause is announced.
    seconds = min(MAX_INTERVAL, max(MIN_INTERVAL, conf.current().get_alarm_option("BAD_SECONDS") / 2))
    if not AlarmTurn.objects.using(using).take("examination", timedelta(seconds=seconds), now):
        return []
    findings = examine_system(using, now)
    AlarmTurn.objects.using(using).note("examined", now)
    return findings


def may_send_heartbeat(using: str, now: datetime) -> bool:
    """Return whether all is well, and it is this process's turn to say so."""
    turns = AlarmTurn.objects.using(using)
    if not conf.current().get_alarm_option("HEARTBEAT_URL") or Alarm.objects.using(using).degraded().exists():
        return False
    # Examinations that fail find no alarm either.
    return turns.is_recent("examined", MAX_EXAMINATION_AGE, now) and turns.take("heartbeat", HEARTBEAT_EVERY, now)


def make_calls(using: str, now: datetime, is_alive: bool) -> list[str]:
    """Call the hook if that is due, and the URL of the heartbeat; return why calls have failed."""
    faults = call_due(using, now)
    if fault := get_database_alarm().end():
        faults.append(fault)
    if is_alive:
        try:
            request_url(HTTPRequest(conf.current().get_alarm_option("HEARTBEAT_URL"), method="GET"))
        except HookFailed as error:
            logger.warning("The heartbeat could not be sent. %s", error)
            faults.append(f"The heartbeat could not be sent. {error}")
    return faults


def receive_outage(seconds: float) -> None:
    """Call the hook if the database has not been usable for long enough. It needs no database."""
    if seconds >= conf.current().get_alarm_option("BAD_SECONDS") and conf.current().get_alarm_option("HOOK"):
        detail = f"A worker has not been able to use the database for {seconds:.0f} s."
        _outages.start(lambda: get_database_alarm().begin(detail))
