"""Decide whether equal refusals of several recipients are caused by the recipients or by the provider.

One refused mailbox or one refused text says nothing about the provider. If different recipients get the same answer and
no message is accepted in between, the provider refuses the sender: a limit is exceeded, or the sender's address is on a
block list. All functions here are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from notifications.outcomes import Blame, Receipt, Suppress, Verdict

MIN_EQUAL_REFUSALS = 2
"""The number of different recipients after which an answer with ``Blame.MESSAGE`` is blamed on the provider."""
MAX_STREAK_LENGTH = 20
REFUSAL_VERDICTS = (Verdict.PERMANENT, Verdict.CONFIGURATION)


def is_refusal(receipt: Receipt) -> bool:
    """Return whether the provider refused permanently because of the recipient or the message."""
    return receipt.verdict in REFUSAL_VERDICTS and receipt.blames in (Blame.RECIPIENT, Blame.MESSAGE)


@dataclass(frozen=True)
class Streak:
    """The recipients that were refused since the provider last accepted a message.

    :param refused: for each recipient, the code of its last refusal and a hash of the recipient. The error text
        replaces a missing code.
    """

    refused: tuple[tuple[str, str], ...] = ()

    def add(self, receipt: Receipt, recipient: str) -> "Streak":
        """Return the streak after another answer."""
        if receipt.verdict is Verdict.ACCEPTED:
            return Streak()
        if not is_refusal(receipt):
            return self
        recipient_hash = sha256(recipient.encode()).hexdigest()[:12]
        others = tuple(entry for entry in self.refused if entry[1] != recipient_hash)
        return Streak((*others, (get_code(receipt), recipient_hash))[-MAX_STREAK_LENGTH:])

    def merge(self, other: "Streak") -> "Streak":
        """Return the streak with the refusals of another worker added."""
        by_recipient = {recipient: (code, recipient) for code, recipient in (*other.refused, *self.refused)}
        return Streak(tuple(by_recipient.values())[-MAX_STREAK_LENGTH:])

    @property
    def code(self) -> str:
        """The code of the last refusal."""
        return self.refused[-1][0] if self.refused else ""

    def is_general(self, threshold: int) -> bool:
        """Return whether the provider refuses all recipients, regardless of its answers.

        :param threshold: the number of different recipients that this requires.
        """
        return len(self.refused) >= max(threshold, MIN_EQUAL_REFUSALS)

    def is_repeated(self, receipt: Receipt, threshold: int) -> bool:
        """Return whether enough recipients got this refusal. If it blames the message, two are enough."""
        needed = MIN_EQUAL_REFUSALS if receipt.blames is Blame.MESSAGE else max(threshold, MIN_EQUAL_REFUSALS)
        return sum(code == get_code(receipt) for code, _ in self.refused) >= needed


def get_code(receipt: Receipt) -> str:
    """Return the code of a failure, or the beginning of its error text if it has none."""
    return (receipt.code or receipt.error)[:40]


def judge_receipts(
    receipts: Sequence[tuple[Receipt, str]], before: Streak, threshold: int
) -> tuple[list[Receipt], Streak]:
    """Judge the answers to a group together.

    Return the receipts in the same order and the streak after them. Refusals that are caused by the provider become
    CONFIGURATION errors of the provider: the deliveries are retried or fail over, and no address is suppressed.

    :param receipts: the receipts, each with its recipient.
    :param before: the streak of the provider before the group.
    :param threshold: the number of different recipients whose refusals are blamed on the provider.
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
            code = get_code(receipt)
            blamed = [position for position in range(since, index + 1) if get_code(receipts[position][0]) == code]
        else:
            blamed = []
        for position in blamed:
            judged[position] = _blame_provider(judged[position])
    return [_decide_suppression(judged, index) for index in range(len(judged))], streak


def count_final_receipts(receipts: Sequence[Receipt]) -> int:
    """Return the number of receipts at the start that later receipts cannot change."""
    accepted = [index for index, receipt in enumerate(receipts) if receipt.verdict is Verdict.ACCEPTED]
    start = accepted[-1] + 1 if accepted else 0
    return next((index for index in range(start, len(receipts)) if is_refusal(receipts[index])), len(receipts))


def _blame_provider(receipt: Receipt) -> Receipt:
    if not is_refusal(receipt):
        return receipt
    return replace(receipt, verdict=Verdict.CONFIGURATION, blames=Blame.PROVIDER, suppress=Suppress.NO)


def _decide_suppression(receipts: Sequence[Receipt], index: int) -> Receipt:
    """Return the receipt with AMONG_ACCEPTED replaced: by NOW between two accepted messages, otherwise by NO."""
    receipt = receipts[index]
    if receipt.suppress is not Suppress.AMONG_ACCEPTED:
        return receipt
    around = [*receipts[max(0, index - 1) : index], *receipts[index + 1 : index + 2]]
    accepted = len(around) == 2 and all(one.verdict is Verdict.ACCEPTED for one in around)
    return replace(receipt, suppress=Suppress.NOW if accepted else Suppress.NO)
