"""Frames in, changes of faults out."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from notifications.can import dm_rv
from notifications.can.faults import FaultChange, Report
from notifications.can.frame import Frame, Quiet
from notifications.can.life import FaultLife

Decoder = Callable[[Frame], Report | None]

DECODERS: Mapping[int, Decoder] = {dm_rv.DGN: dm_rv.decode}
"""By data group number, what reads a diagnostic message. A further protocol is a further entry."""


class Bridge:
    """Follows the faults of all buses that it hears, and counts in the tally of the life that it is given."""

    def __init__(self, life: FaultLife) -> None:
        self.life = life
        self.tally = life.tally

    def changes(self, heard: Iterable[Frame | Quiet]) -> Iterator[FaultChange]:
        """What changed, as soon as it is known. No frame, however wrong, stops it."""
        for item in heard:
            yield from self.life.advance(item.timestamp) if isinstance(item, Quiet) else self._hear(item)

    def _hear(self, frame: Frame) -> list[FaultChange]:
        self.tally.frames += 1
        if not frame.is_dated:
            self.tally.malformed += 1
            return []
        return self.life.advance(frame.timestamp) + self._diagnose(frame)

    def _diagnose(self, frame: Frame) -> list[FaultChange]:
        if not frame.carries_data:
            self.tally.ignored += 1
            return []
        decode = DECODERS.get(frame.dgn)
        if decode is None:
            return []
        report = decode(frame)
        if report is None:
            self.tally.ignored += 1
            return []
        return self.life.hear(report, frame.timestamp)
