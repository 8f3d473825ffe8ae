"""Delivers for one worker thread: claims batches of deliveries and brings each delivery to an outcome.

The steps of a batch:

1. Write the outcomes that were kept, claim, isolate a trial, load the notifications.
2. Recheck the deliveries and the items of digests, and choose providers.
3. For each group of deliveries with the same provider: check the circuit, check quiet hours again if the recheck is at
   least a second old, apply limits, create the channel, begin a trial.
4. :mod:`~notifications.delivering.attempt`: render, mark *sending* and commit, hand over, record, update the circuit.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from django.db import DataError, Error, IntegrityError

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.core.tracing import trace_group
from notifications.delivering.attempt import attempt
from notifications.delivering.attempt_outcomes import Outcomes, Tally, build_dead_letter
from notifications.delivering.claim import Claimer
from notifications.delivering.digest_items import recheck_digest_items
from notifications.delivering.groups import ClaimedDelivery, Group
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.pending_groups import PendingGroups
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.rate_limiter import apply_limits
from notifications.delivering.recheck import recheck_claimed, recheck_quiet_hours
from notifications.delivering.session import Session, Stop, never
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.models import Delivery
from notifications.outcomes import Reason

logger = logging.getLogger("notifications.dispatch")

BESIDE_REST_SECONDS = 0.5
"""How long a relief thread claims nothing of a channel some of whose deliveries wait for a slow provider."""
HEARTBEAT_CHECK_SECONDS = 0.05
RECHECK_QUIET_HOURS_AFTER = timedelta(seconds=1)
"""A group that begins this long after the gates have decided is checked for quiet hours again."""


class Dispatcher:
    """Delivers for one thread. It keeps its channels and their connections from batch to batch.

    :param batch_size: how many deliveries the first claim takes, by default ``BATCH_SIZE``. With a heartbeat, later
        claims take up to ``MAX_BATCH_SIZE``; see :class:`~notifications.delivering.claim.ClaimSize`.
    :param stop: called between groups, and between the messages of a group if the channel is ``one_by_one``. When it
        returns True, the deliveries that are claimed but not begun are given back.
    :param heartbeat: the heartbeat of the process. Without one, only the leases show that the thread is alive.
    :param pending: the groups of this thread as other threads of the worker see them, by default as no other does.
    """

    def __init__(
        self,
        batch_size: int | None = None,
        stop: Callable[[], bool] = never,
        heartbeat: HeartbeatThread | None = None,
        pending: PendingGroups | None = None,
    ) -> None:
        self.batch_size = batch_size or conf.current().batch_size
        self.stop = stop if isinstance(stop, Stop) else Stop(stop)
        writer = OutcomeWriter(heartbeat)
        providers = Providers(writer.using)
        pending = pending or PendingGroups()
        claimer = Claimer(writer, providers, self.batch_size, pending)
        self.session = Session(writer.using, self.stop, writer, providers, claimer, pending)

    def run_until_idle(self, notification_ids: Sequence[int] = (), limit: int | None = None) -> Tally:
        """Run batches until nothing is ready, ``stop`` returns True, or ``limit`` deliveries have been claimed."""
        tally: Tally = Counter()
        total = 0
        while not self.stop() and (limit is None or total < limit):
            size = None if limit is None else min(self.session.claimer.size.current, limit - total)
            claimed, outcomes = self.run_batch(size, notification_ids)
            tally += outcomes
            total += claimed
            if not claimed:
                break
        return tally

    @read_from_primary()
    def run_batch(self, size: int | None = None, notification_ids: Sequence[int] = ()) -> tuple[int, Tally]:
        """Claim a batch and process it. Return the number of claims, and the outcomes.

        :param size: how many to claim at most. By default the number follows the backlog.
        """
        began = time.monotonic()
        writer, claimer = self.session.writer, self.session.claimer
        writer.catch_up()
        now = writer.now()
        claimed: list[Delivery] = []
        if self._may_claim():
            claimed = self._isolate_trial(claimer.claim(size or claimer.size.current, notification_ids, now))
        if claimed:
            with self._renew_leases(claimed):
                self._process_batch(claimed, now)
        if size is None:
            claimer.size.adjust(len(claimed), time.monotonic() - began)
        return len(claimed), writer.take_tally()

    def _may_claim(self) -> bool:
        """Return whether this worker may claim deliveries.

        If its heartbeat is late, as after the machine was suspended, this waits for the next one. Otherwise the outbox
        would seem to be empty, and its deliveries would wait for the next run or sweep.
        """
        writer, until = self.session.writer, time.monotonic() + 2 * conf.current().beat_seconds
        while not (may_claim := writer.may_claim()) and writer.is_heartbeat_late:
            if self.stop() or time.monotonic() >= until:
                break
            time.sleep(HEARTBEAT_CHECK_SECONDS)
        return may_claim

    def _isolate_trial(self, claimed: list[Delivery]) -> list[Delivery]:
        """Return the deliveries to process now, and give back the others.

        A delivery that may have killed its worker is processed alone. If the first delivery needs no trial, those that
        do are given back.
        """
        trials = [row for row in claimed if row.needs_trial]
        if not trials or len(claimed) == 1:
            return claimed
        kept = trials[:1] if claimed[0].needs_trial else [row for row in claimed if not row.needs_trial]
        self.session.writer.give_back([row for row in claimed if row not in kept])
        return kept

    def _renew_leases(self, claimed: Sequence[Delivery]) -> AbstractContextManager[None]:
        heartbeat = self.session.writer.heartbeat
        return heartbeat.renewing([row.pk for row in claimed]) if heartbeat else nullcontext()

    def _process_batch(self, claimed: list[Delivery], now: datetime) -> None:
        session = self.session
        pending, has_started, failed = session.pending, False, False
        began = time.monotonic()
        try:
            claimed = Delivery.objects.using(session.using).with_notifications(claimed)
            sendable = recheck_claimed(claimed, session, now)
            if any(map(attrgetter("delivery.notification.digest_kind"), sendable)):
                sendable = recheck_digest_items(sendable, session, now)
            pending.start(self._choose_providers(sendable, now))
            has_started = True
            while not session.stop() and session.writer.can_continue() and (group := pending.take_next()):
                with trace_group(group.provider.channel, group.provider.name, group.deliveries):
                    self._deliver(group)
                pending.finish_group()
                if session.claimer.size.is_overdue(len(claimed), time.monotonic() - began):
                    break
        except Error:
            failed = True
            raise
        finally:
            # The batch ended early: it was stopped, failed or took too long. Deliveries that were begun are no longer
            # claimed and keep their state; the others are given back without a strike.
            unfinished = pending.end()
            if unfinished or not has_started:
                session.writer.give_back(claimed, later=failed)
                for group in [] if failed else unfinished:
                    self._end_probe(group)

    def _choose_providers(self, sendable: Sequence[ClaimedDelivery], now: datetime) -> list[Group]:
        """Return groups for one provider each, no larger than its group size. A trial is alone in its group.

        Give back the deliveries whose channel has no provider that may be tried now.
        """
        chosen: dict[tuple[Any, ...], tuple[Provider, list[ClaimedDelivery]]] = {}
        waiting = []
        excluded = self.session.pending.list_excluded()
        for item in sendable:
            provider = self.session.providers.choose(item.delivery, now, excluded)
            if provider is None:
                waiting.append(item.delivery)
            else:
                key = provider.key, provider.as_probe, item.delivery.needs_trial
                chosen.setdefault(key, (provider, []))[1].append(item)
        self.session.writer.give_back(waiting)
        if excluded:
            # Others of their channel have a provider, so that the next claim would take these again.
            for delivery in waiting:
                self.session.claimer.rest_channel(delivery.channel, now, BESIDE_REST_SECONDS, 0.0)
        groups = []
        for (_, as_probe, is_trial), (provider, items) in chosen.items():
            size = 1 if as_probe or is_trial else provider.channel_class.group_size
            for start in range(0, len(items), size):
                groups.append(Group(provider, items[start : start + size], now))
        return groups

    def _deliver(self, group: Group) -> None:
        session, provider = self.session, group.provider
        if session.providers.has_opened(provider):
            # An earlier group of this batch has opened the circuit: use another provider, or wait.
            session.writer.give_back(group.deliveries)
            return
        now = session.writer.now()
        if now - group.rechecked_at >= RECHECK_QUIET_HOURS_AFTER:
            group = recheck_quiet_hours(group, session, now)
        group = apply_limits(group, session, now)
        if group.items:
            self._attempt(group)
        self._end_probe(group)

    def _end_probe(self, group: Group) -> None:
        """Let another delivery be the probe of the provider, if this group is one and has tested nothing."""
        if group.provider.as_probe:
            self.session.providers.breaker.end_probe(group.provider.key, self.session.writer.now())

    def _attempt(self, group: Group) -> None:
        session = self.session
        try:
            session.providers.channel_for(group.provider)
        except Exception as error:
            # The constructor may raise anything. The deliveries wait; no attempt is counted.
            logger.exception("The channel %r cannot be created; its deliveries wait.", group.provider.key)
            session.providers.record_invalid_settings(group.provider, error, session.writer.now())
            session.writer.give_back(group.deliveries)
            return
        first = group.items[0].delivery
        if first.needs_trial and not session.writer.begin_trial(first):
            return
        try:
            attempt(group, session)
        except (DataError, IntegrityError, ValueError) as error:
            if not group.provider.channel_class.transactional:
                raise
            # The database has refused a row and rolled back the group.
            if len(group.items) > 1:
                for item in group.items:
                    self._attempt(Group(group.provider, [item], group.rechecked_at))
                return
            logger.exception("Delivery %s cannot be stored.", first.pk)
            outcome = build_dead_letter(first, Reason.RENDERING, f"{type(error).__name__}: {error}")
            session.writer.count(session.writer.write(Outcomes([outcome], session.writer.now())))

    def give_back_waiting(self) -> bool:
        """Give back what waits for other threads behind slow providers. Return whether there was anything."""
        groups = self.session.pending.busy.take_waiting()
        rows = [delivery for group in groups for delivery in group.deliveries]
        if rows and self.session.writer.heartbeat:
            self.session.writer.heartbeat.stop_renewing([row.pk for row in rows])
        self.session.writer.give_back(rows)
        for group in groups:
            self._end_probe(group)
        return bool(rows)

    def get_rest_seconds(self) -> float | None:
        """Return the seconds until a delivery that waits for a provider may be claimed; None if none waits."""
        return self.session.claimer.get_rest_seconds(self.session.writer.now())

    def release_connections(self) -> None:
        """Close the connections to providers, and write the outcomes and the health of providers that are kept."""
        self.session.providers.close()
        if self.stop():
            return  # close() needs the time that is left.
        try:
            self.session.writer.catch_up()
            self.session.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "The last outcomes cannot be written yet; they are kept.")

    def close(self, seconds: float = 0.0) -> int:
        """Close the connections permanently, and save outcomes that cannot be written to a file.

        :param seconds: how long to retry while the database cannot be used.
        :return: the number of outcomes in the file.
        """
        self.session.providers.close()
        if left := self.session.writer.close(seconds, self.stop.is_immediate):
            return left
        try:
            self.session.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "The health of the providers cannot be written and is lost.")
        return 0
