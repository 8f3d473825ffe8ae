"""Find the bus to listen to: from arguments, ``NOTIFICATIONS["CAN_BUS"]``, the environment and ``can.conf``.

The options have python-can's names. Those of its own sources are read by python-can.
"""

import configparser
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from notifications import conf
from notifications.core import extras
from notifications.exceptions import KlaxonError

LISTEN_ONLY: Mapping[str, Mapping[str, Any]] = {
    "kvaser": {"driver_mode": False},
    "nixnet": {"listen_only": True},
    "pcan": {"state": "PASSIVE"},
    "seeedstudio": {"operation_mode": "silent"},
    "slcan": {"listen_only": True},
    "vector": {"listen_only": True},
}
"""The options by which an adapter neither sends nor acknowledges frames. For ``socketcan``, the system sets that."""

SOURCES = "--interface, NOTIFICATIONS['CAN_BUS'], the environment variable CAN_INTERFACE, or python-can's file can.conf"


class BusMisconfigured(KlaxonError):
    """The options of a CAN bus are missing or wrong."""


@dataclass(frozen=True)
class BusOptions:
    """The bus to open.

    :param interface: python-can's name of the kind of interface, such as ``socketcan``.
    :param channel: the channel; None for the interface's own default.
    :param others: the other arguments of python-can's class of the interface.
    """

    interface: str
    channel: Any = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the bus in frames, faults and rules: the channel, or else the interface."""
        return str(self.channel) if self.channel not in (None, "") else self.interface


def find_bus_options(arguments: Mapping[str, Any], section: str | None = None) -> BusOptions | None:
    """Return the options of the bus; None if no source names an interface.

    Arguments come before the setting, the setting before the environment (``CAN_INTERFACE``, ``CAN_CHANNEL``,
    ``CAN_BITRATE``, ``CAN_CONFIG``), and that before ``can.conf``. An argument ``interface`` that differs from the
    setting's replaces the whole setting.

    :param arguments: python-can's options by name.
    :param section: the section of ``can.conf`` to read before ``default``, and the end of the environment variables,
        such as ``CAN_INTERFACE_COACH``. python-can calls it the context.
    :raises MissingExtra: if python-can is not installed.
    :raises BusMisconfigured: if python-can does not know the interface or cannot read a source.
    """
    can = extras.import_optional("can")
    setting = conf.current().can_bus
    if arguments.get("interface", setting.get("interface")) != setting.get("interface"):
        setting = {}
    found = _load(can, {**setting, **arguments}, section)
    interface = found.pop("interface")
    if interface is None:
        return None
    channel = found.pop("channel")
    return BusOptions(interface, channel, {**_get_quiet_options(can, interface), **found})


def list_active_options(bus: BusOptions) -> list[str]:
    """Return the options by which an adapter takes part in the bus, although it could only listen."""
    quiet = _get_quiet_options(extras.import_optional("can"), bus.interface)
    return [f"{key}={bus.others[key]}" for key, value in quiet.items() if bus.others[key] != value]


def _get_quiet_options(can: ModuleType, interface: str) -> dict[str, Any]:
    options = LISTEN_ONLY.get(interface, {})
    return {key: can.BusState[value] if key == "state" else value for key, value in options.items()}


def _has_section(can: ModuleType, name: str) -> bool:
    return bool(can.util.load_file_config(section=name) or can.util.load_environment_config(context=name))


def _load(can: ModuleType, given: dict[str, Any], section: str | None) -> dict[str, Any]:
    try:
        if section is not None and not _has_section(can, section):
            raise BusMisconfigured(
                f"No file can.conf has options in a section [{section}], and no environment variable such as "
                f"CAN_INTERFACE_{section} is set. Check the name that --section gives."
            )
        return dict(can.util.load_config(config=given, context=section))
    except can.CanInterfaceNotImplementedError as error:
        # python-can says so too if no source names an interface.
        if "interface" not in given and '"None"' in str(error):
            return {"interface": None}
        known = ", ".join(sorted(can.VALID_INTERFACES))
        raise BusMisconfigured(f"{error}. Name one of python-can's interfaces: {known}.") from error
    except json.JSONDecodeError as error:
        raise BusMisconfigured(f"The environment variable CAN_CONFIG is not valid JSON: {error}.") from error
    except (configparser.Error, ValueError, TypeError) as error:
        raise BusMisconfigured(f"The options of the CAN bus are wrong: {error} Check {SOURCES}.") from error
