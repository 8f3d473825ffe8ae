"""What the channels ``push`` and ``fcm`` share: one delivery goes to all browsers or phones of its recipient."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.db import router

from notifications.channels.base import BaseChannel
from notifications.core import clock
from notifications.models.push_target import PushTargetQuerySet
from notifications.outcomes import Blame, Receipt, Verdict

logger = logging.getLogger("notifications.channel.push")

DAY = 86_400
MAX_TTL = 28 * DAY
"""The longest time for which the large push services keep a message."""
MAX_TARGETS = 10
"""The number of browsers or phones of a recipient that get a message: the newest ones."""
ORDER = (Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.TEMPORARY, Verdict.CONFIGURATION, Verdict.PERMANENT)
"""Of several answers, the first of these decides."""


@dataclass(frozen=True)
class Answer:
    """The answer of a push service about one browser or phone.

    :param verdict: None if it does not take messages any more.
    """

    verdict: Verdict | None
    error: str = ""
    code: str = ""
    retry_after: float | None = None
    blames: Blame = Blame.PROVIDER
    message_id: str = ""

    @classmethod
    def of(cls, receipt: Receipt) -> "Answer":
        """Return a receipt as an answer."""
        return cls(
            receipt.verdict,
            receipt.error,
            receipt.code,
            receipt.retry_after,
            receipt.blames,
            receipt.provider_message_id,
        )

    @property
    def is_accepted(self) -> bool:
        return self.verdict is Verdict.ACCEPTED

    @property
    def is_gone(self) -> bool:
        return self.verdict is None

    @property
    def concerns_service(self) -> bool:
        """Whether a second request to the same service would get this answer too."""
        if self.blames in (Blame.NETWORK, Blame.SILENCE):
            return True
        return self.verdict is Verdict.CONFIGURATION and self.blames is Blame.PROVIDER


def choose_receipt(message: Any, answers: Sequence[Answer], provider: str, target_name: str) -> Receipt:
    """Return the receipt for a message to all browsers or phones of a recipient.

    :param target_name: what a recipient without one lacks, such as ``"browser"``.
    """
    found = sorted((one for one in answers if one.verdict is not None), key=lambda one: ORDER.index(one.verdict))
    if not found:
        # No push service has refused anything, so none is blamed, however many recipients have no browser.
        error = f"The recipient has no {target_name} for push messages."
        return Receipt(message, Verdict.PERMANENT, provider, error=error)
    best = found[0]
    return Receipt(
        message,
        best.verdict or Verdict.PERMANENT,
        provider,
        provider_message_id=best.message_id,
        error=best.error,
        retry_after=best.retry_after,
        blames=best.blames,
        code=best.code,
    )


class PushTargetsChannel(BaseChannel):
    """Send one message to all browsers or phones of its recipient, the newest first, and forget those that are gone.

    It is accepted if the push service of one of them accepts it. A subclass implements ``prepare()``, which returns an
    object with ``user_id`` and ``expires_at``, and ``push()``.

    - ``provider``: the name of the provider, for receipts.
    - ``model``: the model of its browsers or phones, with the fields ``user`` and ``accepted_at``.
    - ``target_name``: ``"browser"`` or ``"device"``.
    - ``has_one_service``: whether all of them belong to one service. If that does not answer, the others are not tried.

    :param ttl: the seconds for which a push service keeps a message for somebody who is offline.
    :raises ValueError: if an option is invalid.
    """

    address_kind = "user"
    one_by_one = True
    required_parts = ("subject.txt", "txt")
    provider: ClassVar[str] = ""
    model: ClassVar[Any] = None
    target_name: ClassVar[str] = ""
    has_one_service: ClassVar[bool] = False
    ttl: float = DAY

    @classmethod
    def find_reachable(cls, user_ids: Collection[Any]) -> Collection[Any]:
        return cls.get_targets().find_users(user_ids)

    @classmethod
    def get_targets(cls) -> PushTargetQuerySet[Any]:
        return cls.model.objects.using(router.db_for_write(cls.model))

    def get_usable_targets(self) -> PushTargetQuerySet[Any]:
        """Return those that this channel can send to."""
        return self.get_targets()

    def push(self, target: Any, message: Any, ttl: int, now: datetime) -> Answer:
        """Send a message to one browser or phone.

        :param ttl: the seconds until the message is worthless.
        """
        raise NotImplementedError

    def send(self, messages: Sequence[Any]) -> Iterator[Receipt]:
        if not messages:
            return
        by_user = self.get_usable_targets().load_by_user({message.user_id for message in messages})
        for message in messages:
            newest = by_user.get(message.user_id, [])[-MAX_TARGETS:]
            yield self._push_to_all(message, newest[::-1])

    def _push_to_all(self, message: Any, targets: Sequence[Any]) -> Receipt:
        rows = self.get_targets()
        now = clock.cached_now(rows.db)
        ttl = self._get_ttl(message.expires_at, now)
        answers: list[tuple[Any, Answer]] = []
        for target in targets:
            answer = self.push(target, message, ttl, now)
            answers.append((target.pk, answer))
            if self.has_one_service and answer.concerns_service:
                break
        gone = [pk for pk, answer in answers if answer.is_gone]
        accepted = [pk for pk, answer in answers if answer.is_accepted]
        if gone:
            rows.filter(pk__in=gone).delete()
        if accepted:
            rows.filter(pk__in=accepted).update(accepted_at=now)
        for _pk, answer in answers if accepted else ():
            if not answer.is_accepted and not answer.is_gone:
                logger.warning(
                    "A %s of a recipient was not reached, but another one was: %s", self.target_name, answer.error
                )
        return choose_receipt(message, [answer for _pk, answer in answers], self.provider, self.target_name)

    def _get_ttl(self, expires_at: datetime | None, now: datetime) -> int:
        if expires_at is None:
            return int(self.ttl)
        return max(0, min(int(self.ttl), int((expires_at - now).total_seconds())))


def check_ttl(ttl: float) -> float:
    """Return the option ``ttl``.

    :raises ValueError: if it is out of range.
    """
    if not 0 <= ttl <= MAX_TTL:
        raise ValueError(f"The option 'ttl' must be a number of seconds from 0 to {MAX_TTL}.")
    return ttl
