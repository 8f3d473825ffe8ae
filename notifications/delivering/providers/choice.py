"""Who carries a delivery: the providers of each channel, in order, and what is known of their health.

A round takes each provider of a channel at most once: the first by rank, and after a failure, at once, the next. A
round that has failed is one attempt of the retry schedule. Providers of the same rank share: those that have lately
accepted more and answered faster get more.
"""

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels import BaseChannel, open_channel
from notifications.conf.channels import ProviderConf
from notifications.core.channel_classes import channel_conf
from notifications.core.rates import Rate
from notifications.core.refusals import Streak, judge
from notifications.delivering.providers.attempted import Attempted
from notifications.delivering.providers.breaker import Breaker, is_failure
from notifications.models import Delivery
from notifications.outcomes import Blame, Reason, Receipt, Verdict

BETWEEN = ", "
LONGEST = 100
"""What the column of the provider holds."""
LEARNS_EVERY = 1.0
"""Seconds between two writes of a provider's health by one worker thread."""
SLOW_SECONDS = 10.0
"""A failure that took so long holds up everything behind it."""
LEAST_CHANCE = 0.05
DOUBLINGS = 6
"""How often the rate of a provider that has come back doubles."""
FASTEST = 100_000.0


@dataclass(frozen=True)
class Provider:
    """One provider of one channel. ``as_probe``: it is being tried, with one delivery."""

    channel: str
    conf: ProviderConf
    as_probe: bool = False

    @property
    def name(self) -> str:
        return self.conf.name

    @property
    def key(self) -> str:
        """The name of its circuit."""
        return self.channel if self.name == self.channel else f"{self.channel}/{self.name}"

    @property
    def is_transactional(self) -> bool:
        return bool(import_string(self.conf.backend).transactional)

    @property
    def group_size(self) -> int:
        return 1 if self.as_probe else int(import_string(self.conf.backend).group_size)


class Providers:
    """Of one worker thread. Keeps their connections from batch to batch."""

    def __init__(self, using: str) -> None:
        self.breaker = Breaker(using)
        self._open: dict[str, BaseChannel] = {}
        self._unlearnt: defaultdict[str, list[tuple[bool, float]]] = defaultdict(list)
        self._learnt_at: dict[str, float] = {}

    def choose(self, delivery: Delivery, now: datetime) -> Provider | None:
        """Who shall carry a delivery; None if every provider of its channel is being left alone."""
        all_of_them = providers_of(delivery.channel)
        # What was refused before is a bad probe, and need not be one where another provider takes it.
        may_be_probe = not (delivery.was_refused and any(self.breaker.is_closed(one.key) for one in all_of_them))
        for provider in self._in_order(all_of_them, delivery):
            if self.breaker.is_closed(provider.key):
                return provider
            half_open = may_be_probe and self.breaker.may_be_tried(provider.key, now)
            if half_open and self._wins_probe(provider, now):
                return Provider(provider.channel, provider.conf, as_probe=True)
        return None

    def has_shut_since(self, provider: Provider) -> bool:
        """Whether its circuit has opened since it was chosen."""
        return not provider.as_probe and not self.breaker.is_closed(provider.key)

    def shut(self, now: datetime) -> set[str]:
        """The channels none of whose providers may be tried now."""
        self.breaker.look(now)
        return {channel for channel in conf.current().enabled_channels if not self._may_be_tried(channel, now)}

    def half_open(self, now: datetime) -> set[str]:
        """The channels that have no provider but such as wait for a probe."""
        return {
            channel
            for channel in conf.current().enabled_channels
            if self._may_be_tried(channel, now)
            and not any(self.breaker.is_closed(provider.key) for provider in providers_of(channel))
        }

    def failed_over(self, provider: Provider, delivery: Delivery, now: datetime) -> str:
        """If this provider fails: who has had the delivery in this round. Empty if there is nobody left to have it."""
        had = [*had_by(delivery), provider.name]
        left = [other for other in providers_of(provider.channel) if other.name not in had]
        named = BETWEEN.join(had)
        may_go_on = len(named) <= LONGEST and any(self.breaker.may_be_tried(other.key, now) for other in left)
        return named if may_go_on else ""

    def rates(self, provider: Provider, now: datetime) -> dict[str, Rate]:
        """How fast a provider may be given messages now: its own rate, and a slower one after it was away."""
        ramp = ramp_rate(self.breaker.closed_at(provider.key), now)
        found = {provider.key: provider.conf.rate, f"{provider.key} ramp": ramp}
        return {key: rate for key, rate in found.items() if rate is not None}

    def open(self, provider: Provider) -> BaseChannel:
        if provider.key not in self._open:
            self._open[provider.key] = open_channel(provider.channel, provider.conf)
        return self._open[provider.key]

    def observe(self, provider: Provider, attempted: Sequence[Attempted], now: datetime, streak: Streak) -> None:
        """Learn from the answers of a group.

        :param streak: the equal refusals after the group.
        """
        receipts = [item.receipt for item in attempted]
        slow = bool(attempted) and is_failure(receipts[-1]) and attempted[-1].duration >= SLOW_SECONDS
        others = [other.key for other in providers_of(provider.channel) if other.name != provider.name]
        at_once = slow and any(self.breaker.is_closed(key) for key in others)
        self.breaker.observe(provider.key, receipts, now, streak, at_once)
        if _shares(provider):
            self._unlearnt[provider.key] += [(not is_failure(item.receipt), item.duration) for item in attempted]
            # A failure at once: the very next choice shall know of it.
            self._learn(provider.key, 0.0 if any(map(is_failure, receipts)) else LEARNS_EVERY)

    def judge(self, provider: Provider, attempted: Sequence[Attempted]) -> tuple[list[Attempted], Streak]:
        """The answers of a group in the light of one another, and the provider's equal refusals after them."""
        answers = [(item.receipt, item.delivery.address or item.delivery.recipient_key) for item in attempted]
        before = self.breaker.streak(provider.key)
        if not before.refused and all(receipt.verdict is Verdict.ACCEPTED for receipt, _ in answers):
            return list(attempted), before
        judged, streak = judge(answers, before, conf.current().breaker_failures)
        pairs = zip(attempted, judged, strict=True)
        return [item if item.receipt is receipt else replace(item, receipt=receipt) for item, receipt in pairs], streak

    def close(self) -> None:
        """Let go of every connection."""
        for channel in self._open.values():
            channel.close()

    def share_health(self) -> None:
        """Write what was learnt about the providers and is not yet in the database."""
        for key in [key for key, answers in self._unlearnt.items() if answers]:
            self._learn(key, 0.0)

    def _learn(self, key: str, at_least_every: float) -> None:
        if self._unlearnt[key] and time.monotonic() - self._learnt_at.get(key, 0.0) >= at_least_every:
            self.breaker.learn(key, self._unlearnt.pop(key))
            self._learnt_at[key] = time.monotonic()

    def cannot_be_made(self, provider: Provider, error: Exception, now: datetime) -> None:
        """Its settings are wrong, which is nobody's fault among the recipients: it is left alone for a while."""
        words = f"{type(error).__name__}: {error}"
        self.breaker.observe(provider.key, [Receipt(None, Verdict.CONFIGURATION, error=words)], now)

    def end_probe(self, provider: Provider, now: datetime) -> None:
        """Let another delivery be the probe, if this one was held back or could not be rendered and told nothing."""
        if provider.as_probe:
            self.breaker.end_probe(provider.key, now)

    def is_forgiven(self, provider: Provider, attempted: Attempted, now: datetime) -> bool:
        """Whether a failure of this try costs no attempt: it was a probe, or the provider was out of reach."""
        opened_at = self.breaker.opened_at(provider.key)
        outage = timedelta(seconds=conf.current().outage_seconds)
        if attempted.receipt.blames is Blame.NETWORK:
            since = max(attempted.delivery.notification.wanted_at, opened_at or now)
            return now - since < outage
        return provider.as_probe and opened_at is not None and now - opened_at < outage

    def _may_be_tried(self, channel: str, now: datetime) -> bool:
        return any(self.breaker.may_be_tried(provider.key, now) for provider in providers_of(channel))

    def _wins_probe(self, provider: Provider, now: datetime) -> bool:
        patience = import_string(provider.conf.backend).patience
        return self.breaker.win_probe(provider.key, now, conf.current().lease_seconds + patience)

    def _in_order(self, providers: Sequence[Provider], delivery: Delivery) -> list[Provider]:
        """By rank, equals by chance and health; those that have had it in this round come last."""
        if len(providers) == 1:
            return list(providers)
        had = had_by(delivery)
        return sorted(providers, key=lambda one: (one.name in had, one.conf.rank, -self._chance(one)))

    def _chance(self, provider: Provider) -> float:
        """Weighted and random: the higher, the earlier (Efraimidis and Spirakis, 2006)."""
        success_rate, seconds = self.breaker.health(provider.key)
        weight = max(success_rate, LEAST_CHANCE) / (seconds + 0.05)
        return float(random.random() ** (1 / weight))  # noqa: S311 - no secret


def _shares(provider: Provider) -> bool:
    """Whether another provider of the channel has the same rank, so that health decides between them."""
    return [other.conf.rank for other in providers_of(provider.channel)].count(provider.conf.rank) > 1


def had_by(delivery: Delivery) -> list[str]:
    """The names of the providers that have failed with a delivery in the present round."""
    return delivery.provider.split(BETWEEN) if delivery.reason == Reason.FAILED_OVER else []


def ramp_rate(closed_at: datetime | None, now: datetime) -> Rate | None:
    """Messages a second for a provider that has come back at this time; None once it may have them all."""
    configured = conf.current()
    if closed_at is None or (passed := (now - closed_at).total_seconds()) >= configured.ramp_seconds:
        return None
    doublings = max(0.0, passed) / configured.ramp_seconds * DOUBLINGS
    tokens = min(configured.ramp_start * 2**doublings, FASTEST)
    return Rate(tokens, 1, max(1, tokens))


def providers_of(channel: str) -> list[Provider]:
    """The providers of a channel, as the settings list them."""
    return [Provider(channel, found) for found in channel_conf(channel).providers]
