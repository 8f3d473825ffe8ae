"""What the CAN bridge knows about the vehicles: faults, alerts, and the devices that it has seen.

A row without an end is open, and only one row of a thing can be open. So the database decides whether a fault is new,
also after the bridge was killed, and while an old bridge and its successor both run.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

BUS_LENGTH = 200
RULE_LENGTH = 100
TEXT_LENGTH = 300
CORRELATION_ID_LENGTH = 100


class Severity(models.IntegerChoices):
    """How serious a fault or an alert is."""

    INFO = 0, _("information")
    WARNING = 1, _("warning")
    CRITICAL = 2, _("critical")


class CanFaultQuerySet(models.QuerySet["CanFault"]):
    def standing(self) -> "CanFaultQuerySet":
        """Return the faults that are not cleared."""
        return self.filter(cleared_at=None)

    def acknowledge(self, user: Any, now: datetime) -> int:
        """Acknowledge those faults that stand and are not acknowledged; return their number."""
        return self.filter(cleared_at=None, acknowledged_at=None).update(acknowledged_at=now, acknowledged_by=user)

    def delete_older(self, before: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` faults that were cleared before a time; return their number."""
        old = list(self.filter(cleared_at__lt=before).order_by("cleared_at").values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=old).delete()[0] if old else 0


class CanAlertQuerySet(models.QuerySet["CanAlert"]):
    def standing(self) -> "CanAlertQuerySet":
        """Return the alerts that have not ended."""
        return self.filter(ended_at=None)

    def end_except(self, rules: Collection[str], now: datetime) -> int:
        """End the alerts of all other rules than these; return their number."""
        return self.standing().exclude(rule__in=rules).update(ended_at=now)

    def acknowledge(self, user: Any, now: datetime) -> int:
        """Acknowledge those alerts that stand and are not acknowledged; return their number."""
        return self.filter(ended_at=None, acknowledged_at=None).update(acknowledged_at=now, acknowledged_by=user)

    def delete_older(self, before: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` alerts that ended before a time; return their number."""
        old = list(self.filter(ended_at__lt=before).order_by("ended_at").values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=old).delete()[0] if old else 0


class CanDeviceQuerySet(models.QuerySet["CanDevice"]):
    def record(self, seen: Iterable["CanDevice"]) -> None:
        """Add what was seen to the rows: unsaved devices with the frames since the last call. Use a transaction."""
        seen = list(seen)
        buses = {one.bus for one in seen}
        known = {(row.bus, row.source_address): row for row in self.filter(bus__in=buses).select_for_update()}
        new, changed = [], []
        for one in seen:
            row = known.get((one.bus, one.source_address))
            if row is None:
                new.append(one)
                continue
            row.last_seen_at, row.frames, row.name = one.last_seen_at, row.frames + one.frames, one.name or row.name
            changed.append(row)
        self.bulk_create(new, ignore_conflicts=True)  # type: ignore[arg-type]
        self.bulk_update(changed, ["last_seen_at", "frames", "name"], batch_size=100)  # type: ignore[arg-type]

    def load_addresses(self, bus: str) -> dict[bytes, int]:
        """Return the source address of each device of a bus that has claimed one, by its NAME."""
        rows = self.filter(bus=bus).exclude(name="").order_by("last_seen_at")
        return {bytes.fromhex(name): address for name, address in rows.values_list("name", "source_address")}

    def delete_older(self, before: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` devices that were last seen before a time; return their number."""
        old = list(self.filter(last_seen_at__lt=before).values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=old).delete()[0] if old else 0


class CanFault(models.Model):
    """A fault of a device on a bus, from the time when it is raised until it is cleared.

    :ivar source_address: the present address of the device that reports it. A device can claim another one.
    :ivar problem: the failure mode in words, in English.
    :ivar severity: the highest severity since it was raised.
    :ivar flaps: how often it had come back when that was last announced.
    :ivar cleared_at: None while it stands.
    """

    bus = models.CharField(_("bus"), max_length=BUS_LENGTH)
    protocol = models.CharField(_("protocol"), max_length=10)
    source_address = models.PositiveSmallIntegerField(_("source address"))
    dsa = models.PositiveSmallIntegerField(_("device (DSA)"))
    instance = models.PositiveSmallIntegerField(_("instance"), null=True)
    spn = models.PositiveIntegerField(_("SPN"))
    fmi = models.PositiveSmallIntegerField(_("FMI"))
    problem = models.CharField(_("problem"), max_length=TEXT_LENGTH, blank=True)
    lamps = models.JSONField(_("lamps"), default=list)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity.choices)
    count = models.PositiveSmallIntegerField(_("count"), null=True)
    flaps = models.PositiveIntegerField(_("flaps"), default=0)
    raised_at = models.DateTimeField(_("raised at"))
    last_seen_at = models.DateTimeField(_("last seen at"))
    cleared_at = models.DateTimeField(_("cleared at"), null=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("acknowledged by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    correlation_id = models.CharField(_("correlation id"), max_length=CORRELATION_ID_LENGTH)

    objects = CanFaultQuerySet.as_manager()

    class Meta:
        verbose_name = _("CAN fault")
        verbose_name_plural = _("CAN faults")
        permissions = [("acknowledge_canfault", _("Can acknowledge CAN faults and alerts"))]
        constraints = [
            models.UniqueConstraint(
                fields=["correlation_id"], condition=Q(cleared_at=None), name="klaxon_canfault_open_once"
            ),
        ]
        indexes = [
            models.Index(fields=["bus"], condition=Q(cleared_at=None), name="klaxon_canfault_open"),
            models.Index(fields=["cleared_at"], condition=Q(cleared_at__isnull=False), name="klaxon_canfault_cleared"),
        ]

    def __str__(self) -> str:
        return f"{self.bus} 0x{self.dsa:02X} SPN {self.spn} FMI {self.fmi}"


class CanAlert(models.Model):
    """An alert of a rule about a signal, or about silence, from its begin to its end.

    :ivar source_address: the device; None if the alert is about a bus or a combination of values.
    :ivar value: the value that decided last, with its unit.
    :ivar last_sent_at: the time of the last change that rules have received.
    :ivar ended_at: None while it stands.
    """

    rule = models.CharField(_("rule"), max_length=RULE_LENGTH)
    bus = models.CharField(_("bus"), max_length=BUS_LENGTH)
    source_address = models.PositiveSmallIntegerField(_("source address"), null=True)
    instance = models.PositiveSmallIntegerField(_("instance"), null=True)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity.choices)
    value = models.CharField(_("value"), max_length=TEXT_LENGTH, blank=True)
    text = models.CharField(_("text"), max_length=TEXT_LENGTH, blank=True)
    begun_at = models.DateTimeField(_("begun at"))
    last_sent_at = models.DateTimeField(_("last sent at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("acknowledged by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    correlation_id = models.CharField(_("correlation id"), max_length=CORRELATION_ID_LENGTH)

    objects = CanAlertQuerySet.as_manager()

    class Meta:
        verbose_name = _("CAN alert")
        verbose_name_plural = _("CAN alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["correlation_id"], condition=Q(ended_at=None), name="klaxon_canalert_open_once"
            ),
        ]
        indexes = [
            models.Index(fields=["bus"], condition=Q(ended_at=None), name="klaxon_canalert_open"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="klaxon_canalert_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.bus}"


class CanDevice(models.Model):
    """A device that has sent frames on a bus. The bridge writes the rows every half minute.

    :ivar name: the 64-bit NAME of its address claim as hexadecimal digits; empty if it has not claimed an address.
    :ivar frames: the number of its frames that the bridge has read.
    """

    bus = models.CharField(_("bus"), max_length=BUS_LENGTH)
    source_address = models.PositiveSmallIntegerField(_("source address"))
    name = models.CharField(_("NAME"), max_length=16, blank=True)
    first_seen_at = models.DateTimeField(_("first seen at"))
    last_seen_at = models.DateTimeField(_("last seen at"), db_index=True)
    frames = models.PositiveBigIntegerField(_("frames"), default=0)

    objects = CanDeviceQuerySet.as_manager()

    class Meta:
        verbose_name = _("CAN device")
        verbose_name_plural = _("CAN devices")
        constraints = [
            models.UniqueConstraint(fields=["bus", "source_address"], name="klaxon_candevice_once"),
        ]

    def __str__(self) -> str:
        return f"{self.bus} 0x{self.source_address:02X}"
