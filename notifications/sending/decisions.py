"""What becomes of each recipient on each channel. ``send()`` writes it down, ``explain()`` tells it; both ask here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.core.addresses import ChosenAddress, hash_address, is_well_formed
from notifications.core.channel_classes import get_address_kind
from notifications.models import Notification
from notifications.models.fingerprint import Original
from notifications.models.suppression import Pair, SuppressionLookup, hash_normalized, normalize_address
from notifications.outcomes import Answer, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.audience import Chunk
from notifications.sending.duplicates import Repeats, find_duplicates
from notifications.sending.gates import GATES_BEFORE_DUPLICATE, Facts, decide
from notifications.sending.gates.recipient_batch import CachedDecision, RecipientBatch, RecipientLoader
from notifications.sending.request import Request

PLAIN = ChosenAddress("")


@dataclass(slots=True, eq=False)
class Candidate:
    """One recipient on one channel. ``user_id`` is None where there is no user."""

    key: str
    user_id: Any
    channel: str
    kind: str
    address: str
    # What rows keep: an account is named by its recipient key and needs no address besides.
    kept_address: str
    address_hash: str
    alike: CachedDecision
    # Those who are alike and have the same mark get the same answer.
    mark: Any
    # The address in the user's settings, where it is passed over for that of the account.
    rejected_address: str
    # Another address to take, should this one be suppressed.
    alternative: str

    def take_other(self) -> None:
        self.rejected_address, self.address, self.alternative = self.address, self.alternative, ""
        self.kept_address, self.address_hash = self.address, hash_address(self.address)


def address_kinds(request: Request) -> dict[str, str]:
    """The channels of a call, each with the kind of address that it sends to."""
    return {channel: get_address_kind(channel) for channel in request.channels}


class Decisions:
    """Asks the gates about the recipients of one send, and about those who are alike once.

    :param kinds: the channels, each with the kind of address that it sends to.
    :param repeats: tells who has had the same before; it may reserve for the others.
    """

    def __init__(
        self, request: Request, notification: Notification, kinds: Mapping[str, str], now: datetime, repeats: Repeats
    ) -> None:
        self.request = request
        self.notification = notification
        self.kinds = kinds
        self.now = now
        self.repeats = repeats
        self.wanted_at = max(request.options.send_at or now, now)
        self.crowds = RecipientLoader(request.cluster, kinds)
        self.suppressions = SuppressionLookup()
        self.suppressed: frozenset[Pair] = frozenset()

    def on(self, chunk: Chunk) -> Iterator[tuple[Candidate, Answer]]:
        """Everyone of the chunk on every channel, with the answer, in a fixed number of statements."""
        cases, firsts = self._cases_of(chunk)
        for case in cases:
            yield case, self.answer(case, firsts.get(case.key))

    def with_facts(self, chunk: Chunk) -> Iterator[tuple[Facts, Answer]]:
        """The same, with everything that the gates were told."""
        cases, firsts = self._cases_of(chunk)
        for case in cases:
            first = firsts.get(case.key)
            yield self.facts(case, first), self.answer(case, first)

    def _cases_of(self, chunk: Chunk) -> tuple[Sequence[Candidate], Mapping[str, Original]]:
        crowd = self.crowds.users(chunk.user_ids) if chunk.user_ids else self.crowds.bare(chunk.addresses)
        cases = [*_cases(crowd, chunk, self.kinds)]
        self.suppressed = self._suppressed_of(cases) if crowd.may_be_suppressed else frozenset()
        return cases, find_duplicates(self.request, cases, self.reaches, self.repeats)

    def _suppressed_of(self, cases: Sequence[Candidate]) -> frozenset[Pair]:
        """Of their addresses those that are suppressed. Whoever has one takes another, or is marked."""
        prints = [_fingerprint(case) for case in cases]
        others = {hash_normalized(case.alternative) for case in cases if case.alternative}
        suppressed = self.suppressions.find({*prints, *others} - {""})
        bad = {its for _kind, its in suppressed}
        for case, its in zip(cases, prints, strict=True):
            if its not in bad:
                continue
            other = (case.kind, hash_normalized(case.alternative))
            if case.alternative and (case.kind, its) in suppressed and other not in suppressed:
                case.take_other()
            else:
                case.mark = (case.channel, case.address)
        return suppressed

    def answer(self, case: Candidate, first: Original | None = None) -> Answer:
        """What the gates say, not before the ``send_at`` of the call."""
        answers = case.alike.answers
        found = answers.get(case.mark) if first is None else None
        if found is None:
            found = not_before(self.wanted_at, decide(self.facts(case, first)), self.now)
            if first is None:
                answers[case.mark] = found
        return found

    def reaches(self, case: Candidate) -> bool:
        """Whether it would go out if it is no repeat."""
        reached, mark = case.alike.reached, case.mark
        if mark not in reached:
            reached[mark] = not isinstance(decide(self.facts(case), GATES_BEFORE_DUPLICATE), Drop)
        return reached[mark]

    def facts(self, case: Candidate, first: Original | None = None) -> Facts:
        told = self.notification
        return Facts(
            self.request.event,
            case.channel,
            case.kind,
            case.alike.person,
            case.address,
            self.suppressed,
            first,
            topic=told.topic,
            actor_id=told.actor_id,
            expires_at=told.expires_at,
            rejected_address=case.rejected_address,
            priority=self.request.priority,
            now=self.now,
            wanted_at=self.wanted_at,
            has_own_time=told.has_own_time,
        )


def _cases(crowd: RecipientBatch, chunk: Chunk, kinds: Mapping[str, str]) -> Iterator[Candidate]:
    channels, no_hash = tuple(kinds.items()), hash_address("")
    for key, user_id, alike, addresses, reaches in crowd.recipients:
        for (channel, kind), address in zip(channels, addresses, strict=True):
            if chunk.narrowed and not chunk.is_for(key, channel):
                continue
            # A good address is like any other; of a bad one, or of none, the gates may say more.
            mark = channel if address and is_well_formed(kind, address) else (channel, address)
            if kind == "user":
                yield Candidate(key, user_id, channel, kind, address, "", no_hash, alike, mark, "", "")
            else:
                own, its = reaches.get(channel, PLAIN), hash_address(address)
                rest = own.rejected_address, own.alternative
                yield Candidate(key, user_id, channel, kind, address, address, its, alike, mark, *rest)


def _fingerprint(case: Candidate) -> str:
    """Return the hash that suppressions store of the address. Most addresses are normalized already."""
    address = case.kept_address
    if not address:
        return ""
    return case.address_hash if address == normalize_address(address) else hash_normalized(address)


def not_before(wanted_at: datetime, answer: Answer, now: datetime) -> Answer:
    """The answer of the gates, kept back until the ``send_at`` of the call."""
    if wanted_at <= now or isinstance(answer, Drop) or (isinstance(answer, Hold) and answer.until > wanted_at):
        return answer
    return Hold(wanted_at, Reason.SCHEDULED, Rule(RuleKind.SEND_AT, "call", until=wanted_at))
