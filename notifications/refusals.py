"""Refusals that several recipients get alike: whether they speak against the recipients or against the provider.

One refused mailbox or one refused text says nothing about the provider. The same answer to different recipients, with
no message accepted in between, says that the provider refuses *us*: a limit is used up, or our address is listed.
All functions here are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from notifications.outcomes import Blame, Receipt, Suppress, Verdict

ALIKE_MESSAGES = 2
"""Different recipients after which an answer with ``Blame.MESSAGE`` speaks against the provider."""
REMEMBERED = 20
REFUSALS = (Verdict.PERMANENT, Verdict.CONFIGURATION)


def is_refusal(receipt: Receipt) -> bool:
    """Whether the provider refused for good, and blamed the recipient or the message for it."""
    return receipt.verdict in REFUSALS and receipt.blames in (Blame.RECIPIENT, Blame.MESSAGE)


@dataclass(frozen=True)
class Streak:
    """Different recipients that got the same refusal since the provider last accepted a message.

    :param code: the code of the answer, or its words where it has none.
    :param recipients: hashes of the recipients.
    """

    code: str = ""
    recipients: tuple[str, ...] = ()

    def after(self, receipt: Receipt, recipient: str) -> "Streak":
        """The streak once this answer has come as well."""
        if receipt.verdict is Verdict.ACCEPTED:
            return Streak()
        if not is_refusal(receipt):
            return self
        code, mark = code_of(receipt), sha256(recipient.encode()).hexdigest()[:12]
        if code != self.code:
            return Streak(code, (mark,))
        if mark in self.recipients or len(self.recipients) >= REMEMBERED:
            return self
        return Streak(code, (*self.recipients, mark))

    def blames_provider(self, receipt: Receipt, several: int) -> bool:
        """Whether this refusal, which is part of the streak, speaks against the provider.

        :param several: how many different recipients it takes where the answer blames the mailbox alone.
        """
        needed = ALIKE_MESSAGES if receipt.blames is Blame.MESSAGE else max(several, ALIKE_MESSAGES)
        return is_refusal(receipt) and code_of(receipt) == self.code and len(self.recipients) >= needed


def code_of(receipt: Receipt) -> str:
    return (receipt.code or receipt.error)[:40]


def judge(receipts: Sequence[tuple[Receipt, str]], before: Streak, several: int) -> tuple[list[Receipt], Streak]:
    """The answers to a group, each with its recipient, in the light of one another.

    Returns the receipts in the same order and the streak after them. Refusals that speak against the provider become
    CONFIGURATION errors of the provider: the deliveries are tried again or fail over, and nobody is suppressed.

    :param before: the streak of the provider before the group.
    """
    judged = [receipt for receipt, _ in receipts]
    streak, since = before, 0
    for index, (receipt, recipient) in enumerate(receipts):
        streak, was = streak.after(receipt, recipient), streak
        if streak.code != was.code:
            since = index
        if streak.blames_provider(receipt, several):
            judged[since : index + 1] = [_of_provider(one) for one in judged[since : index + 1]]
    return [_condemn(judged, index) for index in range(len(judged))], streak


def resolved(receipts: Sequence[Receipt]) -> int:
    """How many of the first answers no later answer can show in another light."""
    accepted = [index for index, receipt in enumerate(receipts) if receipt.verdict is Verdict.ACCEPTED]
    start = accepted[-1] + 1 if accepted else 0
    return next((index for index in range(start, len(receipts)) if is_refusal(receipts[index])), len(receipts))


def _of_provider(receipt: Receipt) -> Receipt:
    if not is_refusal(receipt):
        return receipt
    return replace(receipt, verdict=Verdict.CONFIGURATION, blames=Blame.PROVIDER, suppress=Suppress.NO)


def _condemn(receipts: Sequence[Receipt], index: int) -> Receipt:
    """AMONG_ACCEPTED becomes NOW between two accepted messages, and NO elsewhere."""
    receipt = receipts[index]
    if receipt.suppress is not Suppress.AMONG_ACCEPTED:
        return receipt
    around = [*receipts[max(0, index - 1) : index], *receipts[index + 1 : index + 2]]
    accepted = len(around) == 2 and all(one.verdict is Verdict.ACCEPTED for one in around)
    return replace(receipt, suppress=Suppress.NOW if accepted else Suppress.NO)
