"""Decide about each recipient on each channel, for ``send()`` and for ``explain()``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.conf import get_address_kind
from notifications.core.addresses import ChosenAddress, hash_address, is_well_formed
from notifications.models import Notification
from notifications.models.fingerprint import Original
from notifications.models.suppression import Pair, SuppressionLookup, hash_normalized, normalize_address
from notifications.outcomes import Answer, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.audience import Chunk
from notifications.sending.duplicates import DuplicateLookup, find_duplicates
from notifications.sending.gates import GATES_BEFORE_DUPLICATE, Facts, decide
from notifications.sending.gates.recipient_batch import CachedDecision, RecipientBatch, RecipientLoader
from notifications.sending.request import Request

NO_ADDRESS = ChosenAddress("")


@dataclass(slots=True, eq=False)
class Candidate:
    """A recipient on a channel. ``user_id`` is None if there is no user."""

    key: str
    user_id: Any
    channel: str
    kind: str
    address: str
    # The address for the database: empty for an account, which its recipient key identifies.
    stored_address: str
    address_hash: str
    decision: CachedDecision
    # Candidates with the same decision and cache key get the same answer.
    cache_key: Any
    # The address in the user's settings, if it was rejected and that of the account is used.
    rejected_address: str
    # The address to use if this one is suppressed.
    alternative: str

    def use_alternative(self) -> None:
        self.rejected_address, self.address, self.alternative = self.address, self.alternative, ""
        self.stored_address, self.address_hash = self.address, hash_address(self.address)


def get_address_kinds(request: Request) -> dict[str, str]:
    """Return the channels of a call, each with the kind of address that it sends to."""
    return {channel: get_address_kind(channel) for channel in request.channels}


class Decisions:
    """Decides about the recipients of one send. Recipients with equal facts share one decision.

    :param kinds: the channels, each with the kind of address that it sends to.
    :param lookup: finds duplicates; it may reserve the fingerprints of the others.
    """

    def __init__(
        self,
        request: Request,
        notification: Notification,
        kinds: Mapping[str, str],
        now: datetime,
        lookup: DuplicateLookup,
    ) -> None:
        self.request = request
        self.notification = notification
        self.kinds = kinds
        self.now = now
        self.lookup = lookup
        self.wanted_at = max(request.options.send_at or now, now)
        self.loader = RecipientLoader(request.cluster, kinds)
        self.suppressions = SuppressionLookup()
        self.suppressed: frozenset[Pair] = frozenset()

    def decide_chunk(self, chunk: Chunk) -> Iterator[tuple[Candidate, Answer]]:
        """Yield the recipients of the chunk on each channel, with the answer. Takes a fixed number of statements."""
        candidates, originals = self._load_candidates(chunk)
        for candidate in candidates:
            yield candidate, self.get_answer(candidate, originals.get(candidate.key))

    def decide_with_facts(self, chunk: Chunk) -> Iterator[tuple[Facts, Answer]]:
        """Yield the facts of each recipient on each channel, with the answer."""
        candidates, originals = self._load_candidates(chunk)
        for candidate in candidates:
            original = originals.get(candidate.key)
            yield self.build_facts(candidate, original), self.get_answer(candidate, original)

    def _load_candidates(self, chunk: Chunk) -> tuple[Sequence[Candidate], Mapping[str, Original]]:
        by_id = bool(chunk.user_ids)
        batch = self.loader.load_users(chunk.user_ids) if by_id else self.loader.load_addresses(chunk.addresses)
        candidates = [*_build_candidates(batch, chunk, self.kinds)]
        self.suppressed = self._apply_suppressions(candidates) if batch.may_be_suppressed else frozenset()
        return candidates, find_duplicates(self.request, candidates, self.is_deliverable, self.lookup)

    def _apply_suppressions(self, candidates: Sequence[Candidate]) -> frozenset[Pair]:
        """Return the suppressed addresses of the candidates.

        A candidate with a suppressed address uses its alternative or, if it has none that is usable, gets a cache key
        of its own.
        """
        hashes = [_get_suppression_hash(candidate) for candidate in candidates]
        others = {hash_normalized(candidate.alternative) for candidate in candidates if candidate.alternative}
        suppressed = self.suppressions.find({*hashes, *others} - {""})
        suppressed_hashes = {address_hash for _kind, address_hash in suppressed}
        for candidate, own in zip(candidates, hashes, strict=True):
            if own not in suppressed_hashes:
                continue
            kind, alternative = candidate.kind, candidate.alternative
            if alternative and (kind, own) in suppressed and (kind, hash_normalized(alternative)) not in suppressed:
                candidate.use_alternative()
            else:
                candidate.cache_key = (candidate.channel, candidate.address)
        return suppressed

    def get_answer(self, candidate: Candidate, original: Original | None = None) -> Answer:
        """Return the answer of the gates. It holds the delivery until the ``send_at`` of the call at least."""
        answers = candidate.decision.answers
        answer = answers.get(candidate.cache_key) if original is None else None
        if answer is None:
            answer = hold_until_send_at(self.wanted_at, decide(self.build_facts(candidate, original)), self.now)
            if original is None:
                answers[candidate.cache_key] = answer
        return answer

    def is_deliverable(self, candidate: Candidate) -> bool:
        """Return whether the candidate gets the notification unless it is a duplicate."""
        deliverable, cache_key = candidate.decision.deliverable, candidate.cache_key
        if cache_key not in deliverable:
            deliverable[cache_key] = not isinstance(decide(self.build_facts(candidate), GATES_BEFORE_DUPLICATE), Drop)
        return deliverable[cache_key]

    def build_facts(self, candidate: Candidate, original: Original | None = None) -> Facts:
        notification = self.notification
        return Facts(
            self.request.event,
            candidate.channel,
            candidate.kind,
            candidate.decision.person,
            candidate.address,
            self.suppressed,
            original,
            topic=notification.topic,
            actor_id=notification.actor_id,
            expires_at=notification.expires_at,
            rejected_address=candidate.rejected_address,
            priority=self.request.priority,
            now=self.now,
            wanted_at=self.wanted_at,
            has_own_time=notification.has_own_time,
        )


def _build_candidates(batch: RecipientBatch, chunk: Chunk, kinds: Mapping[str, str]) -> Iterator[Candidate]:
    channels, no_hash = tuple(kinds.items()), hash_address("")
    for key, user_id, decision, addresses, chosen_addresses in batch.recipients:
        for (channel, kind), address in zip(channels, addresses, strict=True):
            if chunk.channels_by_key and not chunk.is_for(key, channel):
                continue
            # Gates treat all well-formed addresses alike, but not malformed or missing ones.
            cache_key = channel if address and is_well_formed(kind, address) else (channel, address)
            if kind == "user":
                yield Candidate(key, user_id, channel, kind, address, "", no_hash, decision, cache_key, "", "")
            else:
                chosen, hashed = chosen_addresses.get(channel, NO_ADDRESS), hash_address(address)
                rest = chosen.rejected_address, chosen.alternative
                yield Candidate(key, user_id, channel, kind, address, address, hashed, decision, cache_key, *rest)


def _get_suppression_hash(candidate: Candidate) -> str:
    """Return the hash by which suppressions identify the address. Most are normalized already."""
    address = candidate.stored_address
    if not address:
        return ""
    return candidate.address_hash if address == normalize_address(address) else hash_normalized(address)


def hold_until_send_at(wanted_at: datetime, answer: Answer, now: datetime) -> Answer:
    """Return the answer of the gates, but hold the delivery until the ``send_at`` of the call at least."""
    if wanted_at <= now or isinstance(answer, Drop) or (isinstance(answer, Hold) and answer.until > wanted_at):
        return answer
    return Hold(wanted_at, Reason.SCHEDULED, Rule(RuleKind.SEND_AT, "call", until=wanted_at))
