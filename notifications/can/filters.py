"""Compute the filters by which an adapter passes on only those frames that the bridge reads."""

from collections.abc import Iterable
from typing import TypedDict

DGN_SHIFT = 8
FULL_DGN = 0x1FFFF
# The lowest byte of these is the address of the receiver.
GROUP = 0x1FF00
FIRST_BROADCAST_FORMAT = 0xF0
RVC_RANGE = (0x1FE00, 0x1FE00)
"""1FE00-1FFFF: nearly all messages of RV-C, also those that show only that a device is alive."""
ALWAYS = (
    RVC_RANGE,
    (0x0FECA, FULL_DGN),  # DM1
    (0x0EC00, GROUP),  # messages of several frames
    (0x0EB00, GROUP),
    (0x0EE00, GROUP),  # address claims
)
# Some adapters have few filters. Without any they pass on all frames.
MAX_FILTERS = 16


class CanFilter(TypedDict):
    """A filter of python-can: a frame passes if the bits of its id that are set in the mask are those of the id."""

    can_id: int
    can_mask: int
    extended: bool


def make_filters(dgns: Iterable[int]) -> list[CanFilter] | None:
    """Return filters for what the bridge always reads and for further data group numbers.

    Priority, the reserved bit and the source address of a frame do not matter.

    :returns: None, that is no filters, if so many would be needed that adapters may not have them.
    """
    pairs = list(ALWAYS)
    for dgn in sorted(set(dgns)):
        mask = FULL_DGN if dgn >> 8 & 0xFF >= FIRST_BROADCAST_FORMAT else GROUP
        pair = (dgn & mask, mask)
        if pair not in pairs and not any(dgn & wide == value for value, wide in pairs):
            pairs.append(pair)
    if len(pairs) > MAX_FILTERS:
        return None
    return [{"can_id": value << DGN_SHIFT, "can_mask": mask << DGN_SHIFT, "extended": True} for value, mask in pairs]
