"""A live bridge that is killed, or whose database is locked: each fault is notified once, and none is forgotten.

``KLAXON_CAN_KILLS`` and ``KLAXON_CAN_LOCKED`` make the tests longer: the number of kills, and seconds.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection

from notifications.models import CanDevice, CanFault, Notification
from tests.can.vehicle import Vehicle, driving, id_of
from tests.processes import environment

pytestmark = [pytest.mark.needs("can"), pytest.mark.django_db(transaction=True)]

KILLS = int(os.environ.get("KLAXON_CAN_KILLS", "5"))
LOCKED_SECONDS = float(os.environ.get("KLAXON_CAN_LOCKED", "2"))


@pytest.fixture
def vehicle():
    with driving() as vehicle:
        yield vehicle


@pytest.fixture(autouse=True)
def driver():
    User.objects.create_user("driver")


@pytest.fixture
def starter(vehicle, tmp_path):
    """A process that starts bridges, whose complaints are in a file."""
    where = {"host": "127.0.0.1", "port": str(vehicle.port)}
    rules = {"CHANNELS": {"email": {"ENABLED": False}}}
    more = {"CAN_CONFIG": json.dumps(where), "KLAXON_NOTIFICATIONS": json.dumps(rules), "KLAXON_BUSY_SECONDS": "0.3"}
    command = ["-m", "tests.can.quick_bridge", "--interface", "socketcand", "--channel", "can0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with (tmp_path / "complaints").open("w+") as complaints:
        program = [sys.executable, "-W", "ignore", *command]
        with subprocess.Popen(program, env=environment(**more), stderr=complaints, text=True, **pipes) as process:
            yield process
            # The bridges are in its group.
            os.killpg(process.pid, signal.SIGKILL)


def start(starter: subprocess.Popen) -> int:
    starter.stdin.write("start\n")
    starter.stdin.flush()
    return int(starter.stdout.readline())


def stop(starter: subprocess.Popen, bridge: int, number: int) -> None:
    os.kill(bridge, number)
    assert int(starter.stdout.readline()) == (0 if number == signal.SIGTERM else -number)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def sent() -> Counter[str]:
    return Counter(row.values["order_number"] for row in Notification.objects.all())


def expected(vehicle: Vehicle) -> Counter[str]:
    raised = [f"raised {id_of(number)}" for number in vehicle.standing | vehicle.ended]
    return Counter([*raised, *(f"cleared {id_of(number)}" for number in vehicle.ended)])


def live(vehicle: Vehicle, seconds: float, dice: random.Random) -> None:
    """Faults begin, and those that were noticed end."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        vehicle.begin(len(vehicle.standing) + len(vehicle.ended))
        noticed = set(CanFault.objects.standing().values_list("correlation_id", flat=True))
        known = sorted(number for number in vehicle.standing if id_of(number) in noticed)
        if known and dice.random() < 0.7:
            vehicle.end(dice.choice(known))
        time.sleep(dice.uniform(0.05, 0.3))


def test_a_bridge_that_is_killed_repeats_and_forgets_nothing(vehicle, starter):
    dice = random.Random(KILLS)
    for _ in range(KILLS):
        before = vehicle.connections
        bridge = start(starter)
        if dice.random() < 0.8:
            wait_until(lambda before=before: vehicle.connections > before)
        live(vehicle, dice.uniform(0.05, 1.5), dice)
        stop(starter, bridge, signal.SIGKILL)
    before = vehicle.connections
    bridge = start(starter)
    try:
        wait_until(lambda: vehicle.connections > before)
        wait_until(lambda: sent() == expected(vehicle))
        time.sleep(0.5)
    finally:
        stop(starter, bridge, signal.SIGTERM)
    assert sent() == expected(vehicle)
    assert vehicle.ended
    assert CanFault.objects.standing().count() == len(vehicle.standing)
    assert CanDevice.objects.filter(bus="can0", source_address=0).exists()


@pytest.mark.skipif("os.environ.get('KLAXON_TEST_DB') == 'postgres'", reason="only SQLite locks the whole database")
def test_faults_that_begin_while_the_database_is_locked_are_notified_afterwards(vehicle, starter, tmp_path):
    bridge = start(starter)
    try:
        vehicle.begin(0)
        wait_until(lambda: bool(sent()))
        with sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            for number in range(1, 6):
                vehicle.begin(number)
                time.sleep(LOCKED_SECONDS / 5)
            assert len(sent()) == 1
            lock.execute("COMMIT")
        lock.close()
        wait_until(lambda: sent() == expected(vehicle))
        time.sleep(0.5)
    finally:
        stop(starter, bridge, signal.SIGTERM)
    assert sent() == expected(vehicle)
    assert (
        "The database cannot be used (database is locked). Kept until it is back: "
        in (tmp_path / "complaints").read_text()
    )
