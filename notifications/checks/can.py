"""Checks of ``NOTIFICATIONS["CAN_BUS"]``."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Warning

from notifications import conf
from notifications.can.bus_options import SOURCES, BusMisconfigured, find_bus_options, list_active_options
from notifications.checks.channels import missing_extra_error
from notifications.core import extras

Messages = Iterator[CheckMessage]


def check_can_bus() -> Messages:
    if not conf.current().can_bus:
        return
    if not extras.is_installed("can"):
        yield missing_extra_error("NOTIFICATIONS['CAN_BUS']", "can", "can")
        return
    try:
        bus = find_bus_options({})
    except BusMisconfigured as error:
        hint = (
            "Use python-can's names of interfaces and options, such as {'interface': 'socketcan', 'channel': 'can0'}."
        )
        yield Error(f"NOTIFICATIONS['CAN_BUS'] is wrong: {error}", hint=hint, id="klaxon.E040")
        return
    if bus is None:
        yield Error(
            "NOTIFICATIONS['CAN_BUS'] does not name an interface, and no other source does.",
            hint=f"Add the key 'interface'. The sources are {SOURCES}.",
            id="klaxon.E040",
        )
    elif active := list_active_options(bus):
        yield Warning(
            f"The adapter of the CAN bus {bus.name!r} does not only listen, because of {', '.join(active)}.",
            hint="Remove these options, so that a fault of the adapter cannot disturb the vehicle. If it must confirm "
            "frames, because there is only one other device on the bus, silence klaxon.W020.",
            id="klaxon.W020",
        )
