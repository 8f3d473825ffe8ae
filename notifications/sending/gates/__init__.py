"""Gates decide about one recipient on one channel.

Each gate is a pure function of the facts. The first ``Drop`` is final. If several gates return ``Hold``, the last one
applies. Quiet hours and digest can both hold; digest comes last and applies quiet hours itself. ``send()`` and the
worker call the same functions; the worker calls only the gates whose answer can have changed.
"""

from collections.abc import Callable, Sequence

from notifications.outcomes import Answer, Deliver, Drop, Hold
from notifications.sending.gates.address import address
from notifications.sending.gates.digest import digest
from notifications.sending.gates.duplicate import duplicate
from notifications.sending.gates.facts import Facts, Person, load_people
from notifications.sending.gates.filters import filters
from notifications.sending.gates.preferences import preferences
from notifications.sending.gates.quiet_hours import quiet_hours
from notifications.sending.gates.recipient import recipient
from notifications.sending.gates.suppression import suppression

Gate = Callable[[Facts], Answer]

GATES: Sequence[Gate] = (recipient, address, suppression, preferences, filters, duplicate, quiet_hours, digest)
# send() looks for duplicates only among recipients whom these gates let through.
GATES_BEFORE_DUPLICATE = GATES[: GATES.index(duplicate)]
# Without address, because a delivery keeps its address, and without digest, because it waits for one digest only.
RECHECKED_GATES: Sequence[Gate] = (recipient, suppression, preferences, filters, quiet_hours)
# The gates for the items of a digest or batch. The quiet hours are checked for the digest itself.
DIGEST_ITEM_GATES = tuple(gate for gate in RECHECKED_GATES if gate is not quiet_hours)

__all__ = [
    "RECHECKED_GATES",
    "DIGEST_ITEM_GATES",
    "GATES_BEFORE_DUPLICATE",
    "GATES",
    "Facts",
    "Gate",
    "Person",
    "decide",
    "load_people",
]


def decide(facts: Facts, gates: Sequence[Gate] = GATES) -> Answer:
    """Call the gates in order and return their decision."""
    decision: Answer = Deliver()
    for gate in gates:
        answer = gate(facts)
        if isinstance(answer, Drop):
            return answer
        if isinstance(answer, Hold):
            decision = answer
    return decision
