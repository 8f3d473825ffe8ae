"""Refusals that several recipients get alike: whether they speak against the recipients or against the provider.

One refused mailbox or one refused text says nothing about the provider. The same answer to different recipients, with
no message accepted in between, says that the provider refuses *us*: a limit is used up, or our address is listed.
All functions here are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from notifications.outcomes import Blame, Receipt, Suppress, Verdict

MIN_EQUAL_REFUSALS = 2
"""Different recipients after which an answer with ``Blame.MESSAGE`` speaks against the provider."""
MAX_STREAK_LENGTH = 20
REFUSAL_VERDICTS = (Verdict.PERMANENT, Verdict.CONFIGURATION)


def is_refusal(receipt: Receipt) -> bool:
    """Whether the provider refused for good, and blamed the recipient or the message for it."""
    return receipt.verdict in REFUSAL_VERDICTS and receipt.blames in (Blame.RECIPIENT, Blame.MESSAGE)


@dataclass(frozen=True)
class Streak:
    """The recipients that were refused since the provider last accepted a message.

    :param refused: code and hash of each recipient, with the code of its last refusal. An answer without a code is
        known by its words.
    """

    refused: tuple[tuple[str, str], ...] = ()

    def add(self, receipt: Receipt, recipient: str) -> "Streak":
        """The streak once this answer has come as well."""
        if receipt.verdict is Verdict.ACCEPTED:
            return Streak()
        if not is_refusal(receipt):
            return self
        recipient_hash = sha256(recipient.encode()).hexdigest()[:12]
        others = tuple(one for one in self.refused if one[1] != recipient_hash)
        return Streak((*others, (get_code(receipt), recipient_hash))[-MAX_STREAK_LENGTH:])

    def merge(self, other: "Streak") -> "Streak":
        """With what another worker has seen."""
        return Streak(
            tuple(
                {
                    recipient_hash: (code, recipient_hash) for code, recipient_hash in (*other.refused, *self.refused)
                }.values()
            )[-MAX_STREAK_LENGTH:]
        )

    @property
    def code(self) -> str:
        """The code of the last refusal."""
        return self.refused[-1][0] if self.refused else ""

    def is_general(self, threshold: int) -> bool:
        """Whether the provider refuses everybody, whatever it says.

        :param threshold: how many different recipients that takes.
        """
        return len(self.refused) >= max(threshold, MIN_EQUAL_REFUSALS)

    def is_repeated(self, receipt: Receipt, threshold: int) -> bool:
        """Whether enough recipients got this very refusal. Where it blames the message, two are enough."""
        needed = MIN_EQUAL_REFUSALS if receipt.blames is Blame.MESSAGE else max(threshold, MIN_EQUAL_REFUSALS)
        return sum(code == get_code(receipt) for code, _ in self.refused) >= needed


def get_code(receipt: Receipt) -> str:
    return (receipt.code or receipt.error)[:40]


def judge_receipts(
    receipts: Sequence[tuple[Receipt, str]], before: Streak, threshold: int
) -> tuple[list[Receipt], Streak]:
    """The answers to a group, each with its recipient, in the light of one another.

    Returns the receipts in the same order and the streak after them. Refusals that speak against the provider become
    CONFIGURATION errors of the provider: the deliveries are tried again or fail over, and nobody is suppressed.

    :param before: the streak of the provider before the group.
    """
    judged = [receipt for receipt, _ in receipts]
    streak, since = before, 0
    for index, (receipt, recipient) in enumerate(receipts):
        streak = streak.add(receipt, recipient)
        since = since if streak.refused else index + 1
        if not is_refusal(receipt):
            continue
        if streak.is_general(threshold):
            blamed = list(range(since, index + 1))
        elif streak.is_repeated(receipt, threshold):
            blamed = [one for one in range(since, index + 1) if get_code(receipts[one][0]) == get_code(receipt)]
        else:
            blamed = []
        for one in blamed:
            judged[one] = _blame_provider(judged[one])
    return [_decide_suppression(judged, index) for index in range(len(judged))], streak


def count_final_receipts(receipts: Sequence[Receipt]) -> int:
    """How many of the first answers no later answer can show in another light."""
    accepted = [index for index, receipt in enumerate(receipts) if receipt.verdict is Verdict.ACCEPTED]
    start = accepted[-1] + 1 if accepted else 0
    return next((index for index in range(start, len(receipts)) if is_refusal(receipts[index])), len(receipts))


def _blame_provider(receipt: Receipt) -> Receipt:
    if not is_refusal(receipt):
        return receipt
    return replace(receipt, verdict=Verdict.CONFIGURATION, blames=Blame.PROVIDER, suppress=Suppress.NO)


def _decide_suppression(receipts: Sequence[Receipt], index: int) -> Receipt:
    """AMONG_ACCEPTED becomes NOW between two accepted messages, and NO elsewhere."""
    receipt = receipts[index]
    if receipt.suppress is not Suppress.AMONG_ACCEPTED:
        return receipt
    around = [*receipts[max(0, index - 1) : index], *receipts[index + 1 : index + 2]]
    accepted = len(around) == 2 and all(one.verdict is Verdict.ACCEPTED for one in around)
    return replace(receipt, suppress=Suppress.NOW if accepted else Suppress.NO)
