"""The state tables decide what is announced."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from notifications.can.devices import Sighting
from notifications.can.faults import Device, Fault, FaultChange, SeenFault
from notifications.can.flood import FloodGuard
from notifications.can.standing import Seen
from notifications.can.store import Store
from notifications.core import clock
from notifications.models import CanAlert, CanDevice, CanFault
from tests.can.candump import START

pytestmark = pytest.mark.django_db

DEVICE = Device("can0", 0x44, 0x45)


def fault(kind: str = "raised", *lamps: str, after: float = 0.0, device: Device = DEVICE, **values) -> FaultChange:
    made = FaultChange.of(kind, "rvc", device, Fault(None, 131, 1, lamps or ("yellow",), 2), START + after)
    return replace(made, **values)


@dataclass(frozen=True)
class Alert:
    """What the store needs of an alert."""

    kind: str
    after: float = 0.0
    rule: str = "low_battery"
    bus: str = "can0"
    source_address: int | None = None
    instance: int | None = 1
    severity: int = 2
    text: str = "The battery is low"
    value_text: str = "11.4 V"
    correlation_id: str = "alert:low_battery:can0:-:1"

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(START + self.after, UTC)


@pytest.fixture
def store() -> Store:
    return Store()


def apply(store: Store, *changes) -> list[str | None]:
    return [None if accepted is None else accepted.kind for accepted in map(store.apply, changes)]


def test_a_fault_that_is_raised_again_while_it_stands_is_a_repeat(store):
    assert apply(store, fault(), fault(after=5), fault("cleared", after=9), fault(after=30)) == [
        "raised",
        None,
        "cleared",
        "raised",
    ]
    first, second = CanFault.objects.order_by("pk")
    assert (first.raised_at, first.last_seen_at, first.cleared_at) == tuple(
        datetime.fromtimestamp(START + after, UTC) for after in (0, 5, 9)
    )
    assert (second.problem, second.lamps, second.severity, second.cleared_at) == (
        "below the normal range",
        ["yellow"],
        1,
        None,
    )


def test_a_fault_that_is_raised_again_with_a_worse_lamp_has_worsened(store):
    assert apply(store, fault(), fault("raised", "red"), fault("worsened", "red"), fault("raised", "yellow")) == [
        "raised",
        "worsened",
        None,
        None,
    ]
    assert CanFault.objects.get().severity == 2


def test_a_change_of_a_fault_that_was_never_raised_raises_it_and_nothing_unknown_is_cleared(store):
    assert apply(store, fault("cleared"), fault("moved"), fault("worsened", "red")) == [None, None, "raised"]


def test_flapping_is_announced_once_for_each_count_and_not_after_an_acknowledgement(store):
    assert apply(
        store, fault(), fault("flapping", flaps=3), fault("flapping", flaps=3), fault("flapping", flaps=9)
    ) == [
        "raised",
        "flapping",
        None,
        "flapping",
    ]
    user = User.objects.create_user("ann")
    assert CanFault.objects.acknowledge(user, clock.now()) == 1
    assert apply(store, fault("flapping", flaps=20), fault("worsened", "red"), fault("cleared")) == [
        None,
        "worsened",
        "cleared",
    ]
    row = CanFault.objects.get()
    assert (row.acknowledged_by, row.flaps) == (user, 20)


def test_a_fault_keeps_its_row_if_its_device_gets_another_address(store):
    moved = {"source_address": 0x50, "correlation_id": fault().correlation_id}
    assert apply(store, fault(), fault("moved", **moved)) == ["raised", None]
    # After a restart without the state, the bridge knows only the new address.
    assert apply(store, fault(source_address=0x50, correlation_id="")) == [None]
    # Another device has the same fault under the old address.
    assert apply(store, fault(correlation_id=f"{fault().correlation_id}:2")) == ["raised"]
    cleared = store.apply(fault("cleared", source_address=0x50, correlation_id=""))
    assert cleared.correlation_id == fault().correlation_id
    assert CanFault.objects.standing().get().source_address == 0x44


def test_the_state_of_a_bus_is_read_as_it_was_announced(store):
    long = "/dev/" + "x" * 300
    apply(
        store,
        fault("raised", "red", flaps=4),
        fault(bus="can1", correlation_id=""),
        fault("cleared", bus="can1", correlation_id=""),
    )
    apply(store, fault(bus="can1", correlation_id="", spn=9), fault(bus=long, correlation_id=""), Alert("begun"))
    state = store.load_open("can0")
    assert [(one.device, one.fault.spn, one.severity, one.flaps) for one in state.faults] == [(DEVICE, 131, 2, 4)]
    assert state.faults[0].correlation_id == fault().correlation_id
    assert [row.rule for row in state.alerts] == ["low_battery"]
    assert store.load_open(long).faults[0].device.bus == long
    assert not store.load_open("can2").faults


def test_an_alert_begins_and_ends_once(store):
    begun, ended = Alert("begun"), Alert("ended", 9)
    assert apply(store, ended, begun, begun, ended, ended, Alert("begun", 20)) == [
        None,
        "begun",
        None,
        "ended",
        None,
        "begun",
    ]
    assert [row.ended_at for row in CanAlert.objects.order_by("pk")] == [ended.at, None]


def test_alerts_of_rules_that_were_removed_end(store):
    for name, bus in (("removed", "can0"), ("kept", "can0"), ("removed", "can1")):
        store.apply(Alert("begun", rule=name, bus=bus, correlation_id=f"alert:{name}:{bus}"))
    [alert] = Store(["kept"]).load_open("can0").alerts
    assert alert.rule == "kept"
    assert [(row.rule, row.bus) for row in CanAlert.objects.standing().order_by("bus")] == [
        ("kept", "can0"),
        ("removed", "can1"),
    ]


def test_an_alert_is_repeated_until_it_is_acknowledged(store):
    assert apply(store, Alert("repeated", 1), Alert("repeated", 1), Alert("repeated", 60, value_text="11 V")) == [
        "repeated",
        None,
        "repeated",
    ]
    row = CanAlert.objects.get()
    assert (row.value, row.begun_at, row.last_sent_at) == ("11 V", Alert("", 1).at, Alert("", 60).at)
    CanAlert.objects.acknowledge(User.objects.create_user("ann"), clock.now())
    assert apply(store, Alert("repeated", 120), Alert("ended", 180)) == [None, "ended"]


def test_the_summary_of_a_flood_is_passed_on(store):
    guard = FloodGuard()
    for number in range(30):
        guard.judge(fault(spn=number).identity, START, may_hold=True)
    [summary] = guard.summarise(START + 100, lambda bus: 0)
    assert store.apply(summary) is summary
    assert not store.remembers(summary)


def test_devices_and_faults_that_were_seen_are_written(store):
    apply(store, fault())
    name = bytes(range(8))
    for after, found in ((0, name), (60, b"")):
        seen = {("can0", 0x44): Sighting(START + after, START + after + 30, 100, found)}
        store.write_seen(Seen(seen, [SeenFault(fault().correlation_id, START + after + 30, after)]))
    device = CanDevice.objects.get()
    times = [datetime.fromtimestamp(START + after, UTC) for after in (0, 90)]
    assert [device.first_seen_at, device.last_seen_at, device.frames, device.name] == [*times, 200, name.hex()]
    row = CanFault.objects.get()
    assert (row.last_seen_at, row.count) == (times[1], 60)
    assert store.load_open("can0").addresses == {name: 0x44}
