"""Plan a chunk of recipients: decide about each of them on each channel, for ``send()`` and for ``explain()``."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import router

from notifications.conf import get_address_kind, get_channel_class, has_subscribers
from notifications.core.addresses import ChosenAddress, hash_address, is_well_formed
from notifications.models import Notification
from notifications.models.fingerprint import Original
from notifications.models.suppression import (
    SuppressedAddress,
    SuppressionLookup,
    hash_normalized,
    is_hash_suppressed,
    is_suppressed,
    normalize_address,
)
from notifications.outcomes import Answer, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.audience import Chunk
from notifications.sending.duplicates import DuplicateLookup, find_duplicates
from notifications.sending.gates import GATES_BEFORE_DUPLICATE, Facts, decide
from notifications.sending.gates.facts import build_facts
from notifications.sending.gates.reach import Reach, load_reach
from notifications.sending.gates.recipient_batch import CachedDecision, RecipientBatch, RecipientLoader
from notifications.sending.gates.turns import hold_for_turns
from notifications.sending.request import Request
from notifications.storage.insert import NewDelivery

HELD, READY = DeliveryState.HELD.value, DeliveryState.READY.value
REASON_VALUES = {reason: reason.value for reason in Reason}
NO_ADDRESS, NO_HASH = ChosenAddress(""), hash_address("")


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


Decided = tuple[Candidate, Original | None, Answer]
"""A candidate, the original if it is a duplicate, and the answer."""


@dataclass
class Plan:
    """The rows to write for some recipients.

    :param rejections: candidates with an unusable address in their settings, for whom the address of the account is
        used.
    :param reasons: the number of drops by reason.
    :param held: the number of deliveries that are held.
    """

    deliveries: list[NewDelivery] = field(default_factory=list)
    drops: list[tuple[Candidate, Drop]] = field(default_factory=list)
    rejections: list[Candidate] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    held: int = 0

    def add(self, candidate: Candidate, answer: Answer) -> None:
        """Add the row for an answer."""
        if isinstance(answer, Drop):
            self.reasons[answer.reason] += 1
            self.drops.append((candidate, answer))
            return
        state, reason, until = READY, "", None
        if isinstance(answer, Hold):
            self.held += 1
            state, reason, until = HELD, REASON_VALUES[answer.reason], answer.until
        if candidate.rejected_address:
            self.rejections.append(candidate)
        self.deliveries.append(
            (
                candidate.channel,
                candidate.user_id,
                candidate.key,
                candidate.stored_address,
                candidate.address_hash,
                state,
                reason,
                until,
            )
        )


def get_address_kinds(request: Request) -> dict[str, str]:
    """Return the channels of a call, each with the kind of address that it sends to."""
    kinds = {}
    for channel in request.channels:
        kinds[channel] = get_address_kind(channel)
    return kinds


class Decisions:
    """Decides about the recipients of one send. Recipients with equal facts share one decision.

    :param kinds: the channels, each with the kind of address that it sends to.
    :param lookup: finds duplicates; it may reserve the fingerprints of the others. None if there can be no duplicates.
    """

    def __init__(
        self,
        request: Request,
        notification: Notification,
        kinds: Mapping[str, str],
        now: datetime,
        lookup: DuplicateLookup | None = None,
    ) -> None:
        self.request = request
        self.notification = notification
        self.kinds = kinds
        self.now = now
        self.lookup = lookup
        self.wanted_at = max(request.options.send_at or now, now)
        self.loader = RecipientLoader(request.cluster, kinds)
        self.suppressed: frozenset[SuppressedAddress] = frozenset()
        # Channels that another channel of the call covers, each with that one.
        self.covers = {name: cover for name in kinds if (cover := get_channel_class(name).covered_by) in kinds}
        if prefer := request.event.preferred if request.event.prefer else {}:
            # Channels that are used one after the other cover each other already.
            self.covers = {name: cover for name, cover in self.covers.items() if not prefer.keys() >= {name, cover}}

    @cached_property
    def suppressions(self) -> SuppressionLookup:
        return SuppressionLookup()

    def plan(self, chunks: Iterable[Chunk]) -> Plan:
        """Return the rows for the recipients of some chunks."""
        plan = Plan()
        for chunk in chunks:
            for candidate, _original, answer in self.decide(chunk):
                plan.add(candidate, answer)
        return plan

    def decide(self, chunk: Chunk) -> list[Decided]:
        """Return each recipient of a chunk on each channel, the original if it is a duplicate, and the answer.

        The number of statements does not depend on the number of recipients.
        """
        by_id = bool(chunk.user_ids)
        batch = self.loader.load_users(chunk.user_ids) if by_id else self.loader.load_addresses(chunk.addresses)
        candidates = _build_candidates(batch, chunk, self.kinds)
        self.suppressed = self._apply_suppressions(candidates) if batch.may_be_suppressed else frozenset()
        originals: Mapping[str, Original] = {}
        if self.lookup is not None:
            originals = find_duplicates(self.request, candidates, self._is_deliverable, self.lookup)
        decided: list[Decided] = []
        for candidate in candidates:
            answers, original = candidate.decision.answers, originals.get(candidate.key)
            answer = answers.get(candidate.cache_key) if original is None else None
            if answer is None:
                answer = self._ask_gates(candidate, original)
                if original is None:
                    answers[candidate.cache_key] = answer
            decided.append((candidate, original, answer))
        if self.covers:
            decided = self._drop_covered(decided)
        return self._hold_for_turns(decided) if self.request.event.prefer else decided

    def _hold_for_turns(self, decided: Sequence[Decided]) -> list[Decided]:
        """Let the preferred channels of each recipient wait for those before them."""
        prefer = self.request.event.preferred
        by_key: dict[str, dict[str, Answer]] = defaultdict(dict)
        for candidate, _original, answer in decided:
            if candidate.channel in prefer:
                by_key[candidate.key][candidate.channel] = answer
        user_ids = {candidate.key: candidate.user_id for candidate, _original, _answer in decided}
        # Who can be reached at a later time is not known yet.
        is_later = self.wanted_at > self.now
        reach = None if is_later else self._load_reach({pk for pk in user_ids.values() if pk is not None})
        held = {
            key: hold_for_turns(prefer, answers, reach, user_ids[key], self.wanted_at)
            for key, answers in by_key.items()
        }
        return [
            (candidate, original, held.get(candidate.key, {}).get(candidate.channel, answer))
            for candidate, original, answer in decided
        ]

    def _load_reach(self, user_ids: Collection[Any]) -> Reach:
        prefer = self.request.event.preferred
        return load_reach(prefer.values(), user_ids, self.now, router.db_for_write(Notification))

    def _drop_covered(self, decided: Sequence[Decided]) -> list[Decided]:
        """Drop the channels that another one covers, for the recipients who get the notification on that one."""
        reached = {(one.key, one.channel) for one, _original, answer in decided if not isinstance(answer, Drop)}
        changed = []
        for candidate, original, answer in decided:
            cover = self.covers.get(candidate.channel, "")
            if (candidate.key, cover) in reached and not isinstance(answer, Drop):
                answer = Drop(Reason.COVERED, Rule(RuleKind.COVERED, "system", {"channel": cover}))
            changed.append((candidate, original, answer))
        return changed

    def decide_with_facts(self, chunk: Chunk) -> Iterator[tuple[Facts, Answer]]:
        """Yield the facts of each recipient on each channel, with the answer."""
        for candidate, original, answer in self.decide(chunk):
            yield self._build_facts(candidate, original), answer

    def _apply_suppressions(self, candidates: Sequence[Candidate]) -> frozenset[SuppressedAddress]:
        """Return the suppressed addresses of the candidates.

        A candidate with a suppressed address uses its alternative or, if it has none that is usable, gets a cache key
        of its own.
        """
        hashes = [_get_suppression_hash(candidate) for candidate in candidates]
        others = {hash_normalized(candidate.alternative) for candidate in candidates if candidate.alternative}
        suppressed = self.suppressions.find({*hashes, *others} - {""})
        suppressed_hashes = {address_hash for _kind, address_hash, _cluster_id in suppressed}
        cluster_id = self.notification.cluster_id
        for candidate, own in zip(candidates, hashes, strict=True):
            if own not in suppressed_hashes:
                continue
            kind, alternative = candidate.kind, candidate.alternative
            if (
                alternative
                and is_hash_suppressed(suppressed, kind, own, cluster_id)
                and not is_suppressed(suppressed, kind, alternative, cluster_id)
            ):
                candidate.use_alternative()
            else:
                candidate.cache_key = (candidate.channel, candidate.address)
        return suppressed

    def _is_deliverable(self, candidate: Candidate) -> bool:
        """Return whether the candidate gets the notification unless it is a duplicate."""
        deliverable, cache_key = candidate.decision.deliverable, candidate.cache_key
        if cache_key not in deliverable:
            answer = decide(self._build_facts(candidate, None), GATES_BEFORE_DUPLICATE)
            deliverable[cache_key] = not isinstance(answer, Drop)
        return deliverable[cache_key]

    def _ask_gates(self, candidate: Candidate, original: Original | None) -> Answer:
        """Return the answer of the gates. It holds the delivery until the ``send_at`` of the call at least."""
        answer = decide(self._build_facts(candidate, original))
        return hold_until_send_at(self.wanted_at, answer, self.now) if self.wanted_at > self.now else answer

    def _build_facts(self, candidate: Candidate, original: Original | None) -> Facts:
        return build_facts(
            candidate,
            candidate.decision.person,
            self.suppressed,
            self.now,
            self.wanted_at,
            notification=self.notification,
            event=self.request.event,
            original=original,
            rejected_address=candidate.rejected_address,
        )


def _build_candidates(batch: RecipientBatch, chunk: Chunk, kinds: Mapping[str, str]) -> list[Candidate]:
    candidates, channels = [], tuple(kinds.items())
    subscribed = frozenset(filter(has_subscribers, kinds))
    for key, user_id, decision, addresses, chosen_addresses in batch.recipients:
        for (channel, kind), address in zip(channels, addresses, strict=True):
            if chunk.channels_by_key and not chunk.is_for(key, channel):
                continue
            # These channels have recipients of their own. An Address may name one of them.
            if channel in subscribed and (key.startswith("u:") or not address):
                continue
            # Gates treat all well-formed addresses alike, but not malformed or missing ones.
            cache_key = channel if address and is_well_formed(kind, address) else (channel, address)
            if kind == "user":
                own = Candidate(key, user_id, channel, kind, address, "", NO_HASH, decision, cache_key, "", "")
            else:
                chosen, hashed = chosen_addresses.get(channel, NO_ADDRESS), hash_address(address)
                rest = chosen.rejected_address, chosen.alternative
                own = Candidate(key, user_id, channel, kind, address, address, hashed, decision, cache_key, *rest)
            candidates.append(own)
    return candidates


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
