"""Keep faults, alerts and devices in the state tables, which decide what is new.

The tables know what was announced, so a change that repeats what they contain is not announced again: after a restart,
after the connection was lost at the very commit, and while two bridges read the same bus.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from django.db import IntegrityError, router, transaction
from django.db.models import Q

from notifications.can.changes import Change
from notifications.can.faults import Device, Fault, FaultChange, Kind, StandingFault
from notifications.can.standing import Seen, Standing
from notifications.core import clock
from notifications.models import CanAlert, CanDevice, CanFault
from notifications.models.can_state import BUS_LENGTH, RULE_LENGTH, TEXT_LENGTH


class Store:
    """The state tables of the database that notifications are written to.

    :param rule_names: the names of the rules that exist. Alerts of other rules cannot end, so they are ended when what
        stands is read. None leaves them alone.
    """

    def __init__(self, rule_names: Collection[str] | None = None) -> None:
        self.rule_names = rule_names
        self.using = router.db_for_write(CanFault)

    def apply(self, change: Change) -> Change | None:
        """Write a change, and return what rules receive: None if they have received it, or need not.

        Call this in the transaction in which the notifications are queued.

        A fault that is raised, although it stands, is a repeat or has worsened. A fault that has worsened, although it
        does not stand, is raised. Nothing is cleared that was not raised. Faults and alerts that a person has
        acknowledged are neither repeated nor announced as flapping.
        """
        if isinstance(change, FaultChange):
            return self._apply_fault(change)
        write = ALERT_WRITERS.get(change.kind)
        return change if write is None else write(self, change)

    def remembers(self, change: Change) -> bool:
        """Return whether the tables prevent that a change is announced twice."""
        return isinstance(change, FaultChange) or change.kind in ALERT_WRITERS

    def load_open(self, bus: str) -> Standing:
        """Return what stands on a bus."""
        if self.rule_names is not None:
            names = [name[:RULE_LENGTH] for name in self.rule_names]
            CanAlert.objects.using(self.using).filter(bus=cut(bus)).end_except(names, clock.now(self.using))
        faults = CanFault.objects.using(self.using).standing().filter(bus=cut(bus)).order_by("pk")
        alerts = CanAlert.objects.using(self.using).standing().filter(bus=cut(bus)).order_by("pk")
        addresses = CanDevice.objects.using(self.using).load_addresses(cut(bus))
        return Standing([make_standing(row, bus) for row in faults], list(alerts), addresses)

    def write_seen(self, seen: Seen) -> None:
        """Write which devices and faults were seen, in one transaction."""
        devices = [
            CanDevice(
                bus=cut(bus),
                source_address=address,
                name=one.name.hex(),
                first_seen_at=to_time(one.first_seen_at),
                last_seen_at=to_time(one.last_seen_at),
                frames=one.frames,
            )
            for (bus, address), one in seen.devices.items()
        ]
        faults = {fault.correlation_id: fault for fault in seen.faults}
        with transaction.atomic(using=self.using):
            CanDevice.objects.using(self.using).record(devices)
            standing = CanFault.objects.using(self.using).standing().filter(correlation_id__in=list(faults))
            rows = list(standing.select_for_update()) if faults else []
            for row in rows:
                fault = faults[row.correlation_id]
                row.last_seen_at, row.count = to_time(fault.last_seen_at), fault.count
            CanFault.objects.using(self.using).bulk_update(rows, ["last_seen_at", "count"], batch_size=100)

    def _apply_fault(self, change: FaultChange) -> FaultChange | None:
        row = self._find_fault(change)
        if row is None:
            if change.kind in ("cleared", "moved"):
                return None
            if self._insert_fault(change):
                return change if change.kind == "raised" else replace(change, kind="raised")
            row = self._find_fault(change)
        return None if row is None else self._update_fault(row, change)

    def _find_fault(self, change: FaultChange) -> CanFault | None:
        """Return the row of a fault that stands, locked."""
        standing = CanFault.objects.using(self.using).standing().select_for_update()
        row = standing.filter(correlation_id=change.correlation_id).first()
        # The device may have moved before a restart, so that the fault has another id than the bridge thinks.
        return row or standing.filter(get_identity(change)).first()

    def _insert_fault(self, change: FaultChange) -> bool:
        """Return False if another bridge has inserted it in the meantime."""
        row = CanFault(
            bus=cut(change.bus),
            protocol=change.protocol,
            source_address=change.source_address,
            dsa=change.dsa,
            instance=change.instance,
            spn=change.spn,
            fmi=change.fmi,
            problem=change.problem,
            lamps=list(change.lamps),
            severity=change.severity,
            count=change.count,
            flaps=change.flaps,
            raised_at=change.at,
            last_seen_at=change.at,
            correlation_id=change.correlation_id,
        )
        try:
            with transaction.atomic(using=self.using):
                row.save(using=self.using, force_insert=True)
        except IntegrityError:
            return False
        return True

    def _update_fault(self, row: CanFault, change: FaultChange) -> FaultChange | None:
        kind: Kind | None = None
        if change.kind == "cleared":
            kind, row.cleared_at = "cleared", change.at
        elif change.severity > row.severity:
            kind = "worsened"
        elif row.acknowledged_at is None and (
            change.kind == "repeated" or (change.kind == "flapping" and change.flaps > row.flaps)
        ):
            kind = change.kind
        row.severity = max(row.severity, change.severity)
        row.flaps = max(row.flaps, change.flaps)
        row.lamps, row.count = list(change.lamps), change.count
        row.source_address, row.dsa = change.source_address, change.dsa
        if change.kind != "cleared":
            row.last_seen_at = max(row.last_seen_at, change.at)
        row.save(using=self.using)
        return None if kind is None else replace(change, kind=kind, correlation_id=row.correlation_id)

    def _begin_alert(self, change: Change) -> Change | None:
        alert = cast("Any", change)
        row = CanAlert(
            rule=alert.rule[:RULE_LENGTH],
            bus=cut(alert.bus),
            source_address=alert.source_address,
            instance=alert.instance,
            severity=alert.severity,
            begun_at=alert.at,
            last_sent_at=alert.at,
            correlation_id=alert.correlation_id,
            **get_alert_values(alert),
        )
        if self._find_alert(change) is not None:
            return None
        try:
            with transaction.atomic(using=self.using):
                row.save(using=self.using, force_insert=True)
        except IntegrityError:
            return None
        return change

    def _repeat_alert(self, change: Change) -> Change | None:
        row = self._find_alert(change)
        if row is None:
            return self._begin_alert(change)
        is_new = change.at > row.last_sent_at and row.acknowledged_at is None
        vars(row).update(get_alert_values(change))
        if is_new:
            row.last_sent_at = change.at
        row.save(using=self.using)
        return change if is_new else None

    def _end_alert(self, change: Change) -> Change | None:
        row = self._find_alert(change)
        if row is None:
            return None
        row.ended_at = change.at
        row.save(using=self.using)
        return change

    def _find_alert(self, change: Change) -> CanAlert | None:
        standing = CanAlert.objects.using(self.using).standing().select_for_update()
        return standing.filter(correlation_id=change.correlation_id).first()


ALERT_WRITERS: dict[str, Callable[[Store, Change], Change | None]] = {
    "begun": Store._begin_alert,
    "repeated": Store._repeat_alert,
    "ended": Store._end_alert,
}
"""How each kind of change of an alert is written."""


def cut(bus: str) -> str:
    """Return the end of the name of a bus, as the tables store it."""
    return bus[-BUS_LENGTH:]


def to_time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def get_identity(change: FaultChange) -> Q:
    """Return the condition for the row of a fault by what its device reports."""
    return Q(
        bus=cut(change.bus),
        protocol=change.protocol,
        source_address=change.source_address,
        dsa=change.dsa,
        instance=change.instance,
        spn=change.spn,
        fmi=change.fmi,
    )


def get_alert_values(change: Any) -> dict[str, str]:
    """Return what the row of an alert shows of its last change."""
    return {"value": change.value_text[:TEXT_LENGTH], "text": change.text[:TEXT_LENGTH]}


def make_standing(row: CanFault, bus: str) -> StandingFault:
    """Return a row as the tracker needs it."""
    fault = Fault(row.instance, row.spn, row.fmi, tuple(row.lamps), row.count)
    device = Device(bus, row.source_address, row.dsa)
    return StandingFault(row.protocol, device, fault, row.severity, row.flaps, row.correlation_id)
