"""Gates: questions about one recipient on one channel.

Each is a pure function of the facts. The first ``Drop`` stands; of several that say ``Hold`` the last, which knows
of the hours that the others keep. The same functions serve ``send()`` and the worker, which asks those again whose
answer can have changed since.
"""

from collections.abc import Callable, Sequence

from notifications.outcomes import Answer, Deliver, Drop, Hold
from notifications.sending.gates.address import address
from notifications.sending.gates.digest import digest
from notifications.sending.gates.duplicate import duplicate
from notifications.sending.gates.facts import Facts, Person, people
from notifications.sending.gates.filters import filters
from notifications.sending.gates.preferences import preferences
from notifications.sending.gates.quiet_hours import quiet_hours
from notifications.sending.gates.recipient import recipient
from notifications.sending.gates.suppression import suppression

Gate = Callable[[Facts], Answer]

GATES: Sequence[Gate] = (recipient, address, suppression, preferences, filters, duplicate, quiet_hours, digest)
# Only who would get it otherwise is looked up as a repeat.
GATES_BEFORE_DUPLICATE = GATES[: GATES.index(duplicate)]
# A delivery keeps the address that it was queued with, and waits for one digest only.
RECHECKED_GATES: Sequence[Gate] = (recipient, suppression, preferences, filters, quiet_hours)
# Asked of what a digest is made of; the hours are asked of the digest.
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
    "people",
]


def decide(facts: Facts, gates: Sequence[Gate] = GATES) -> Answer:
    said: Answer = Deliver()
    for gate in gates:
        answer = gate(facts)
        if isinstance(answer, Drop):
            return answer
        if isinstance(answer, Hold):
            said = answer
    return said
