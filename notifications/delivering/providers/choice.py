"""The choice of a provider: the providers of each channel, in order, and their health.

A round tries each provider of a channel at most once: the first by rank and, after a failure, the next one immediately.
A failed round is one attempt of the retry schedule. Providers of the same rank share the deliveries: those that have
recently accepted more and answered faster get more.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels import BaseChannel, create_channel
from notifications.conf import get_channel_conf
from notifications.conf.channels import ChannelConf, ProviderConf, get_circuit_key
from notifications.core.rates import Rate
from notifications.core.refusals import Streak, judge_receipts
from notifications.delivering.providers.breaker import CircuitBreaker, is_failure
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

HEALTH_WRITE_INTERVAL = 1.0
"""Seconds between two writes of a provider's health by one worker thread."""
SLOW_SECONDS = 10.0
"""A failure that takes this long delays all deliveries behind it."""
MIN_SUCCESS_RATE = 0.05
RAMP_DOUBLINGS = 6
"""How often the rate of a provider doubles after its circuit has closed."""
MAX_RAMP_RATE = 100_000.0


@dataclass(frozen=True)
class AttemptResult:
    """An attempt and the receipt that it got. ``duration`` is in seconds."""

    delivery: Delivery
    receipt: Receipt
    duration: float
    provider_name: str = ""

    @property
    def provider(self) -> str:
        return (self.provider_name or self.receipt.provider)[:100]


@dataclass(frozen=True)
class Provider:
    """A provider of a channel.

    :param key: the name of its circuit.
    :param shares_rank: whether another provider of the channel has the same rank, so that health decides between them.
    :param as_probe: whether one delivery tests whether it works again.
    """

    channel: str
    name: str
    key: str
    conf: ProviderConf
    shares_rank: bool = False
    as_probe: bool = False

    @cached_property
    def channel_class(self) -> type[BaseChannel]:
        found: type[BaseChannel] = import_string(self.conf.backend)
        return found


_listed: dict[str, tuple[ChannelConf, list[Provider]]] = {}


def list_providers(channel: str) -> list[Provider]:
    """Return the providers of a channel in the order of the settings."""
    configured = get_channel_conf(channel)
    cached = _listed.get(channel)
    if cached is None or cached[0] is not configured:
        ranks = [provider.rank for provider in configured.providers]
        cached = _listed[channel] = (
            configured,
            [
                Provider(
                    channel,
                    provider.name,
                    get_circuit_key(channel, provider.name),
                    provider,
                    shares_rank=ranks.count(provider.rank) > 1,
                )
                for provider in configured.providers
            ],
        )
    return cached[1]


class Providers:
    """The providers as one worker thread uses them. Keeps their connections between batches."""

    def __init__(self, using: str) -> None:
        self.breaker = CircuitBreaker(using)
        self._channels: dict[str, BaseChannel] = {}
        self._unwritten_health: defaultdict[str, list[tuple[bool, float]]] = defaultdict(list)
        self._health_written_at: dict[str, float] = {}

    def choose(self, delivery: Delivery, now: datetime, excluded: Set[str] = frozenset()) -> Provider | None:
        """Return the provider for a delivery, or None if no provider of its channel may be tried now.

        :param excluded: circuit keys of providers that must wait. Only providers that are as good are used instead.
        """
        candidates = list_providers(delivery.channel)
        if excluded:
            best = self._find_best(self._in_order(candidates, delivery), delivery.list_tried_providers())
            return next((provider for provider in best if provider.key not in excluded), None)
        if len(candidates) == 1 and candidates[0].key not in self.breaker.circuits:
            return candidates[0]
        # A delivery that was refused before is a bad probe. It is none if a provider with a closed circuit can take it.
        may_be_probe = not (delivery.has_failed_before and any(self.breaker.is_closed(one.key) for one in candidates))
        for provider in self._in_order(candidates, delivery):
            if self.breaker.is_closed(provider.key):
                return provider
            half_open = may_be_probe and self.breaker.may_be_tried(provider.key, now)
            if half_open and self._win_probe(provider, now):
                return replace(provider, as_probe=True)
        return None

    def has_opened(self, provider: Provider) -> bool:
        """Return whether the provider's circuit has opened since the provider was chosen."""
        return not provider.as_probe and not self.breaker.is_closed(provider.key)

    def unavailable_channels(self, now: datetime) -> set[str]:
        """Return the channels that have no provider that may be tried now."""
        self.breaker.refresh(now)
        if not self.breaker.circuits:
            return set()
        return {channel for channel in conf.current().enabled_channels if not self._may_be_tried(channel, now)}

    def half_open_channels(self, now: datetime) -> set[str]:
        """Return the channels whose only available providers wait for a probe."""
        return {
            channel
            for channel in conf.current().enabled_channels
            if self._may_be_tried(channel, now)
            and not any(self.breaker.is_closed(provider.key) for provider in list_providers(channel))
        }

    def list_channels_without(self, excluded: Set[str]) -> set[str]:
        """Return the channels whose best providers are all excluded, or that have no provider with a closed circuit."""
        return {
            channel
            for channel in conf.current().enabled_channels
            if all(provider.key in excluded for provider in self._find_best(list_providers(channel)))
        }

    def _find_best(self, providers: Sequence[Provider], tried: Sequence[str] = ()) -> list[Provider]:
        """Return those of the providers with closed circuits that share the best rank; untried ones are better."""
        closed = [provider for provider in providers if self.breaker.is_closed(provider.key)]
        best = min(((one.name in tried, one.conf.rank) for one in closed), default=None)
        return [one for one in closed if (one.name in tried, one.conf.rank) == best]

    def get_tried_providers(self, provider: Provider, delivery: Delivery, now: datetime) -> str:
        """Return ``Delivery.tried_providers`` if this provider fails; empty if none is left to try in this round."""
        tried = delivery.list_tried_providers()
        if provider.name in tried:
            # It got the delivery again, because the others may get only probes. Without an end, the round would go on.
            return ""
        tried.append(provider.name)
        left = [other for other in list_providers(provider.channel) if other.name not in tried]
        return json.dumps(tried) if any(self.breaker.may_be_tried(one.key, now) for one in left) else ""

    def rates(self, provider: Provider, now: datetime) -> dict[str, Rate]:
        """Return the limits of a provider: its own rate, and a lower one after its circuit has closed."""
        circuit = self.breaker.circuits.get(provider.key)
        ramp = ramp_rate(circuit.closed_at, now) if circuit else None
        if provider.conf.rate is None and ramp is None:
            return {}
        rates = {provider.key: provider.conf.rate, f"{provider.key} ramp": ramp}
        return {key: rate for key, rate in rates.items() if rate is not None}

    def channel_for(self, provider: Provider) -> BaseChannel:
        """Return the open channel of a provider."""
        if provider.key not in self._channels:
            self._channels[provider.key] = create_channel(provider.channel, provider.conf)
        return self._channels[provider.key]

    def observe(self, provider: Provider, results: Sequence[AttemptResult], now: datetime, streak: Streak) -> None:
        """Update the circuit and the health with the receipts of a group.

        :param streak: the equal refusals after the group.
        """
        receipts = [result.receipt for result in results]
        is_slow = bool(results) and is_failure(receipts[-1]) and results[-1].duration >= SLOW_SECONDS
        others = [other.key for other in list_providers(provider.channel) if other.name != provider.name]
        open_immediately = is_slow and any(self.breaker.is_closed(key) for key in others)
        self.breaker.observe(provider.key, receipts, now, streak, open_immediately)
        if provider.shares_rank:
            health = [(not is_failure(result.receipt), result.duration) for result in results]
            self._unwritten_health[provider.key] += health
            # A failure is written immediately, so that the next choice already takes it into account.
            self._write_health(provider.key, 0.0 if any(map(is_failure, receipts)) else HEALTH_WRITE_INTERVAL)

    def judge(self, provider: Provider, results: Sequence[AttemptResult]) -> tuple[list[AttemptResult], Streak]:
        """Judge the receipts of a group together; return the results, and the provider's equal refusals after them."""
        answers = [(result.receipt, result.delivery.address or result.delivery.recipient_key) for result in results]
        before = self.breaker.get_streak(provider.key)
        judged, streak = judge_receipts(answers, before, conf.current().breaker_failures)
        pairs = zip(results, judged, strict=True)
        return [
            result if result.receipt is receipt else replace(result, receipt=receipt) for result, receipt in pairs
        ], streak

    def close(self) -> None:
        """Close every connection."""
        for channel in self._channels.values():
            channel.close()

    def write_health(self) -> None:
        """Write the health of the providers that is not yet in the database."""
        for key in [key for key, answers in self._unwritten_health.items() if answers]:
            self._write_health(key, 0.0)

    def _write_health(self, key: str, min_interval: float) -> None:
        if self._unwritten_health[key] and time.monotonic() - self._health_written_at.get(key, 0.0) >= min_interval:
            self.breaker.record_health(key, self._unwritten_health.pop(key))
            self._health_written_at[key] = time.monotonic()

    def record_invalid_settings(self, provider: Provider, error: Exception, now: datetime) -> None:
        """Open the circuit of a provider that cannot be created from its settings: no recipient caused the error."""
        message = f"{type(error).__name__}: {error}"
        self.breaker.observe(provider.key, [Receipt(None, Verdict.CONFIGURATION, error=message)], now)

    def is_uncounted(self, provider: Provider, result: AttemptResult, now: datetime) -> bool:
        """Return whether a failed attempt is not counted: it was a probe, or the provider was unreachable."""
        circuit = self.breaker.circuits.get(provider.key)
        # Since when the provider has been failing without a break.
        opened_at = circuit.opened_at if circuit else None
        outage = timedelta(seconds=conf.current().outage_seconds)
        if result.receipt.blames is Blame.NETWORK:
            since = max(result.delivery.notification.wanted_at, opened_at or now)
            return now - since < outage
        return provider.as_probe and opened_at is not None and now - opened_at < outage

    def _may_be_tried(self, channel: str, now: datetime) -> bool:
        return any(self.breaker.may_be_tried(provider.key, now) for provider in list_providers(channel))

    def _win_probe(self, provider: Provider, now: datetime) -> bool:
        send_timeout = provider.channel_class.timeout
        return self.breaker.win_probe(provider.key, now, conf.current().lease_seconds + send_timeout)

    def _in_order(self, providers: Sequence[Provider], delivery: Delivery) -> list[Provider]:
        """Sort by rank, and within a rank by chance and health. Providers that have failed in this round come last."""
        if len(providers) == 1:
            return list(providers)
        tried = delivery.list_tried_providers()
        return sorted(providers, key=lambda one: (one.name in tried, one.conf.rank, -self._random_weight(one)))

    def _random_weight(self, provider: Provider) -> float:
        """Return a weighted random number; the highest is first (Efraimidis and Spirakis, 2006)."""
        circuit = self.breaker.circuits.get(provider.key)
        success_rate, seconds = (circuit.success_rate, circuit.response_seconds) if circuit else (1.0, 0.0)
        weight = max(success_rate, MIN_SUCCESS_RATE) / (seconds + 0.05)
        return float(random.random() ** (1 / weight))  # noqa: S311 - no secret


def ramp_rate(closed_at: datetime | None, now: datetime) -> Rate | None:
    """Return the limit in messages a second of a provider whose circuit closed at this time, or None after the ramp."""
    configured = conf.current()
    if closed_at is None or (passed := (now - closed_at).total_seconds()) >= configured.ramp_seconds:
        return None
    doublings = max(0.0, passed) / configured.ramp_seconds * RAMP_DOUBLINGS
    tokens = min(configured.ramp_start * 2**doublings, MAX_RAMP_RATE)
    return Rate(tokens, 1, max(1, tokens))
