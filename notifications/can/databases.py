"""Read DBC files with cantools: our own for RV-C, and those of the host."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from notifications.can.signals import Message
from notifications.conf.problem import suggest
from notifications.core import extras
from notifications.exceptions import KlaxonError

Protocol = Literal["", "j1939", "can"]

RVC_PATH = Path(__file__).with_name("rvc.dbc")
"""The messages of RV-C that bear alarms. It is a part of this package."""
NULL_ADDRESS = 0xFE
"""The source address of messages in DBC files for J1939: that of nobody."""


class DatabaseUnreadable(KlaxonError):
    """A DBC file does not exist, or cannot be read."""


class Databases:
    """The messages of several DBC files, by name. Those of the host come before ours."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self._own: frozenset[str] = frozenset()
        self.add(RVC_PATH)
        self._own = frozenset(self.messages)

    def add(self, path: Path, protocol: Protocol = "") -> None:
        """Read a file.

        :param protocol: ``j1939`` (which RV-C and NMEA 2000 are too) or ``can``; by default, what the file says.
        :raises MissingExtra: if cantools is not installed.
        :raises DatabaseUnreadable: if the file cannot be read, or has a message that another file has too.
        """
        for message in load_messages(path):
            if message.name in self.messages and message.name not in self._own:
                raise DatabaseUnreadable(
                    f"The message {message.name!r} is in two DBC files. Remove or rename it in {str(path)!r}."
                )
            self._own -= {message.name}
            self.messages[message.name] = Message(message, is_j1939(message, protocol))

    def find(self, name: str) -> Message | None:
        return self.messages.get(name)

    def find_by_dgn(self, dgn: int) -> list[Message]:
        return [message for message in self.messages.values() if message.dgn == dgn]

    def suggest(self, name: str) -> str:
        """Return a hint that names the most similar message."""
        return suggest(name, self.messages, "messages")


def load_messages(path: Path) -> Iterable[Any]:
    cantools = extras.import_optional("cantools")
    try:
        # Many files have signals that overlap, which is no error in the frames that do not use both.
        database = cantools.database.load_file(path, strict=False)
    except FileNotFoundError:
        raise DatabaseUnreadable(f"There is no DBC file {str(path)!r}.") from None
    except (cantools.Error, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatabaseUnreadable(f"The DBC file {str(path)!r} cannot be read: {reason:.300}.") from error
    # Files of other formats that cantools reads have no messages, or containers of messages.
    found = [message for message in getattr(database, "messages", ()) if not message.is_container]
    if not found:
        raise DatabaseUnreadable(f"The DBC file {str(path)!r} has no messages.")
    return found


def is_j1939(message: Any, protocol: Protocol) -> bool:
    """Return whether a message is recognised by its DGN."""
    if not message.is_extended_frame or protocol == "can":
        return False
    return protocol == "j1939" or message.protocol == "j1939" or message.frame_id & 0xFF == NULL_ADDRESS


def decoding_errors() -> tuple[type[Exception], ...]:
    """Return what cantools raises for a frame that does not fit its message."""
    cantools = extras.import_optional("cantools")
    return (cantools.Error, ValueError, LookupError, TypeError, OverflowError)
