"""What an escalation could not reach if it began now, or within the next 30 days: before it is needed.

The gates of ``send()`` decide about people, so that this finds exactly what would happen.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from notifications.escalation.policies import get_declared, read_policy
from notifications.escalation.schedules import load_schedule
from notifications.escalation.sending import build_page_request, get_page_event
from notifications.escalation.step_faults import list_target_faults, list_template_faults
from notifications.escalation.targets import (
    UnresolvedTarget,
    expand_targets,
    find_role,
    find_rota,
    find_user,
    parse_address,
)
from notifications.events import NOTIFICATION_EVENTS, Escalation, NotificationEvent
from notifications.events.escalation import Step, Target
from notifications.exceptions import KlaxonError
from notifications.models import AddressConfirmation, Cluster, EscalationPolicy, Pause, Rota, get_cluster_model
from notifications.models.pause import EVERYTHING
from notifications.recipients import Topic
from notifications.sending.audience import Audience
from notifications.sending.decisions import Decisions, get_address_kinds

GAP_DAYS = 30
MAX_CLUSTERS = 20
"""A policy for all clusters is checked with the first ones."""
MAX_NAMED_CLUSTERS = 3
MAX_ROTAS = 500
MAX_PEOPLE = 200


@dataclass(frozen=True)
class Finding:
    """Something that an escalation cannot reach.

    :param is_error: whether a target does not exist at all.
    :param subject: what it is about, such as the event and the number of the step, or a rota.
    """

    is_error: bool
    subject: str
    text: str
    hint: str


def find_declared_faults() -> Iterator[Finding]:
    """Yield what is wrong with the targets of events in code, as far as it can be known without the database."""
    for event in NOTIFICATION_EVENTS.values():
        escalation: Any = event.escalation
        for number, step in enumerate(escalation.steps if escalation else (), 1):
            for fault in list_target_faults(step):
                yield Finding(True, _name_step(event.name, number), fault, _hint_target())


def find_unreachable(now: datetime) -> Iterator[Finding]:
    """Yield what the escalations of all events cannot reach. It reads the database."""
    yield from find_broken_policies()
    yield from find_unreachable_by_events(now)
    yield from find_gaps(now)


def find_unreachable_by_events(now: datetime, names: Collection[str] = ()) -> Iterator[Finding]:
    """Yield what the escalations of events cannot reach.

    :param names: the names of the events; empty for all.
    """
    paused = Pause.objects.channel_names()
    for event, found in groupby(list_escalations(), key=lambda found: found[0]):
        if names and event.name.lower() not in names:
            continue
        yield from _name_clusters(
            (cluster, finding)
            for _event, escalation, cluster in found
            for number, step in enumerate(escalation.steps, 1)
            for finding in _Checker(event, step, _name_step(event.name, number), cluster, now).find_faults(paused)
        )


def _name_clusters(found: Iterable[tuple[Any, Finding]]) -> Iterator[Finding]:
    """Yield each finding once, with the clusters that it is about, if the site has several."""
    clusters: defaultdict[Finding, dict[Any, str]] = defaultdict(dict)
    for cluster, finding in found:
        clusters[finding][cluster.pk] = str(cluster)
    has_several = get_cluster_model()._default_manager.all()[1:].exists()
    for finding, names in clusters.items():
        named = [*names.values()][:MAX_NAMED_CLUSTERS]
        if len(names) > MAX_NAMED_CLUSTERS:
            named.append(_("{count} more").format(count=len(names) - MAX_NAMED_CLUSTERS))
        subject = f"{finding.subject} ({', '.join(named)})"
        yield replace(finding, subject=subject) if has_several else finding


def find_broken_policies() -> Iterator[Finding]:
    """Yield the policies in the table whose steps do not fit together, so that they do not apply."""
    for row in EscalationPolicy.objects.prefetch_related("steps").select_related("cluster").order_by("pk"):
        event = NOTIFICATION_EVENTS.named(row.event)
        if event is not None and (fault := read_policy(row, event)[1]):
            subject = _("policy {policy}").format(policy=row)
            yield Finding(
                True, subject, fault, _("Correct the policy. Until then, the escalation in the code applies.")
            )


def list_escalations() -> Iterator[tuple[NotificationEvent, Escalation, Any]]:
    """Yield each event with its escalations and the clusters that they apply to."""
    rows = EscalationPolicy.objects.prefetch_related("steps").select_related("cluster")
    by_event: defaultdict[str, list[EscalationPolicy]] = defaultdict(list)
    for row in rows:
        by_event[row.event].append(row)
    clusters = list(get_cluster_model()._default_manager.order_by("pk")[:MAX_CLUSTERS])
    if not clusters and get_cluster_model() is Cluster:
        clusters = [Cluster.objects.default_or_unsaved()]
    for event in NOTIFICATION_EVENTS.values():
        own = {row.cluster_id: row for row in by_event.get(event.name.lower(), ())}
        general = read_policy(own[None], event)[0] if None in own else get_declared(event)
        named = [row.cluster for row in own.values() if row.cluster is not None]
        for cluster in {one.pk: one for one in (*clusters, *named)}.values():
            escalation = read_policy(own[cluster.pk], event)[0] if cluster.pk in own else general
            if escalation is not None:
                yield event, escalation, cluster


class _Checker:
    """Looks at the people of one step in one cluster."""

    def __init__(self, event: NotificationEvent, step: Step, subject: str, cluster: Any, now: datetime) -> None:
        self.event, self.step, self.subject, self.cluster, self.now = event, step, subject, cluster, now
        self.channels = get_page_event(event, step.channel_names)[1]

    def find_faults(self, paused: Collection[str]) -> Iterator[Finding]:
        for channel in self.channels:
            if channel in paused or EVERYTHING in paused:
                text = _("The channel {channel} is paused.").format(channel=channel)
                yield self._warn(text, _("Resume it with resume_notifications or in the admin."))
        for fault in list_template_faults(self.event, self.step):
            yield Finding(True, self.subject, fault, _("Add the template, or use another channel."))
        for text in self.step.targets:
            try:
                targets = expand_targets([text])
            except UnresolvedTarget as error:
                yield Finding(True, self.subject, str(error), _hint_target())
                continue
            for target in targets:
                yield from self._check(target)

    def _check(self, target: Target) -> Iterator[Finding]:
        name = ":".join(target)
        try:
            recipients = self._list_recipients(target)
            if recipients is not None:
                yield from self._check_people(name, recipients)
        except (KlaxonError, ImportError, ValueError) as error:
            yield Finding(True, self.subject, str(error), _hint_target())

    def _list_recipients(self, target: Target) -> list[Any] | None:
        """Return everybody whom a target can be; None for what is known only when the step is sent."""
        if target.kind == "path":
            import_string(target.value)
            return None
        if target.kind == "rota":
            schedule = load_schedule(find_rota(target.value, self.cluster))
            members = {member for layer in schedule.layers for member in layer.members}
            members |= {one.member for one in schedule.overrides if one.end > self.now}
            return list(get_user_model()._default_manager.filter(pk__in=members).order_by("pk"))
        if target.kind == "role":
            return [find_role(target.value)]
        if target.kind == "topic":
            return [Topic(target.value)]
        return [find_user(target.value) if target.kind == "user" else parse_address(target.value)]

    def _check_people(self, name: str, recipients: Sequence[Any]) -> Iterator[Finding]:
        request = build_page_request(self.event, self.step.channel_names, self.cluster, {}, {})
        decisions = Decisions(request, request.build_notification(self.now), get_address_kinds(request), self.now)
        audience = Audience(recipients, self.cluster, request.channels)
        plan = decisions.plan(audience.chunks(MAX_PEOPLE))
        reached = {row[2] for row in plan.deliveries}
        refused: defaultdict[str, dict[str, str]] = defaultdict(dict)
        users: dict[str, Any] = {}
        for candidate, answer in plan.drops:
            users[candidate.key] = candidate.user_id
            refused[candidate.key][candidate.channel] = str(answer.reason.label)
        names = _name_users({pk for pk in users.values() if pk is not None})
        if not reached:
            text = _("{target} reaches nobody at present.").format(target=name)
            yield self._warn(text, _("Add people who are active members of the cluster and have an address."))
        for key, reasons in list(refused.items())[:MAX_PEOPLE]:
            if key not in reached:
                person = names.get(users[key], name)
                why = "; ".join(f"{channel}: {reason}" for channel, reason in reasons.items())
                text = _("{person} cannot be reached ({why}).").format(person=person, why=why)
                yield self._warn(text, _("Correct the account, or replace the person in {target}.").format(target=name))
        yield from self._check_addresses(name, plan.deliveries)

    def _check_addresses(self, name: str, deliveries: Sequence[Any]) -> Iterator[Finding]:
        """Yield the new addresses that their owners have not confirmed, so that pages still go to the old ones."""
        users = {row[1] for row in deliveries if row[1] is not None}
        waiting = AddressConfirmation.objects.waiting(self.now).filter(user__in=users, channel__in=self.channels)
        for row in waiting.select_related("user")[:MAX_PEOPLE] if self.cluster.pk else ():
            text = _("{person} has not confirmed the new address for {channel}.")
            text = text.format(person=row.user, channel=row.channel)
            yield self._warn(text, _("Ask them to open the link in the message that they have got."))

    def _warn(self, text: str, hint: str) -> Finding:
        return Finding(False, self.subject, text, hint)


def find_gaps(now: datetime) -> Iterator[Finding]:
    """Yield the rotas in which nobody is on call at some time of the next 30 days."""
    rotas: QuerySet[Rota] = Rota.objects.with_plan().order_by("pk")
    for rota in rotas[:MAX_ROTAS]:
        subject = _("rota {key} of {cluster}").format(key=rota.key, cluster=rota.cluster)
        if rota.has_unknown_zone:
            text = _("There is no time zone {name}, so {zone} is used.").format(name=rota.time_zone, zone=rota.zone)
            yield Finding(True, subject, text, _("Choose another time zone, or update the package tzdata."))
        gaps = load_schedule(rota).list_gaps(now, now + timedelta(days=GAP_DAYS))
        if gaps:
            start, end = (f"{one.astimezone(rota.zone):%Y-%m-%d %H:%M}" for one in (gaps[0].start, gaps[0].end))
            text = _("Nobody is on call from {start} until {end} ({zone}); gaps in the next {days} days: {count}.")
            text = text.format(start=start, end=end, zone=rota.zone, days=GAP_DAYS, count=len(gaps))
            yield Finding(False, subject, text, _("Add an override, a member, or a layer for these hours."))


def _name_users(keys: Collection[Any]) -> dict[Any, str]:
    return {user.pk: str(user) for user in get_user_model()._default_manager.filter(pk__in=keys)}


def _name_step(event: str, number: int) -> str:
    return _("step {number} of {event}").format(number=number, event=event)


def _hint_target() -> str:
    return _("Correct the target in the event, in NOTIFICATIONS['ESCALATION_TARGETS'] or in the policy.")
