"""Gates decide about one recipient on one channel.

Each gate is a pure function of the facts. The first ``Drop`` is final. If several gates return ``Hold``, the last one
applies. Quiet hours and digest can both hold; digest comes last and applies quiet hours itself. ``send()`` and the
worker call the same functions; the worker calls only the gates whose answer can have changed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from notifications.conf import get_address_kind
from notifications.core.addresses import is_url_name, is_well_formed
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import ChannelNotConfigured
from notifications.models import Delivery
from notifications.models.preferences import PreferenceLevel, resolve_preference
from notifications.models.suppression import SuppressedAddress, is_suppressed
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts, Person, build_facts, load_people
from notifications.sending.gates.hours import digest, quiet_hours

__all__ = [
    "DIGEST_ITEM_GATES",
    "GATES",
    "GATES_BEFORE_DUPLICATE",
    "RECHECKED_GATES",
    "Facts",
    "Gate",
    "Person",
    "decide",
    "find_obstacle",
    "get_choices",
    "load_people",
    "recheck",
    "resolve_choice",
]
Gate = Callable[[Facts], Answer]
EVENT_NOT_REGISTERED = (
    "Event {!r} is not registered in the process that delivers. Register it in a notification_events.py of an app in "
    "INSTALLED_APPS."
)


def recipient(facts: Facts) -> Answer:
    """Drop users who are not active members of the cluster.

    An address belongs to no cluster and passes: the host is responsible for the addresses that it names. Only the
    content of a sensitive event cannot be shown to somebody who cannot log in.
    """
    person = facts.person
    if person.has_no_account:
        rule = Rule(RuleKind.NO_ADDRESS, "event", {"kind": "user"})
        return Drop(Reason.NO_ADDRESS, rule) if facts.event.sensitive else Deliver()
    if person.user is None:
        return Drop(Reason.UNKNOWN_USER)
    if not person.user.is_active:
        return Drop(Reason.INACTIVE)
    return Deliver() if person.is_member else Drop(Reason.NOT_MEMBER, Rule(RuleKind.NOT_MEMBER, "site"))


def address(facts: Facts) -> Answer:
    """Drop if there is no address for the channel, or if it is malformed."""
    if not facts.kind:
        return Deliver()
    if not facts.address:
        # An account that this channel does not reach, such as a user without a browser for push messages.
        is_account = facts.kind == "user" and facts.person.user is not None
        kind = facts.channel if is_account else facts.kind
        return Drop(Reason.NO_ADDRESS, Rule(RuleKind.NO_ADDRESS, detail={"kind": kind}))
    is_usable = is_well_formed(facts.kind, facts.address) or (
        facts.person.has_no_account and is_url_name(facts.kind, facts.address)
    )
    return Deliver() if is_usable else Drop(Reason.INVALID_ADDRESS)


def suppression(facts: Facts) -> Answer:
    """Drop suppressed addresses, for CRITICAL events too: a mail to them would not arrive, or would harm the site."""
    if is_suppressed(facts.suppressed, facts.kind, facts.address, facts.cluster_id):
        return Drop(Reason.SUPPRESSED, Rule(RuleKind.SUPPRESSED, detail={"kind": facts.kind}))
    return Deliver()


def preferences(facts: Facts) -> Answer:
    """Drop what the user does not want. If the user has not chosen, their roles decide, then the cluster.

    Events declared CRITICAL or mandatory are never dropped.
    """
    person = facts.person
    is_unset = person.settings is None and not person.shared
    if is_unset or facts.event.bypasses_preferences or person.has_no_account:
        return Deliver()
    wanted, rule = resolve_choice(facts)
    return Deliver() if wanted else Drop(Reason.PREFERENCE, rule)


def resolve_choice(facts: Facts) -> tuple[bool, Rule]:
    """Return whether the notification is wanted, and the rule that decides."""
    return resolve_preference(get_choices(facts.person), facts.event.name, facts.event.category, facts.channel)


def get_choices(person: Person) -> list[PreferenceLevel]:
    """Return the choices that apply to a person: their own, those of their roles and that of the cluster."""
    return [*([person.settings] if person.settings else []), *person.shared]


def mutes(facts: Facts) -> Answer:
    """Drop what the user has muted, until the mute ends. Events declared CRITICAL or mandatory are never dropped."""
    if facts.event.bypasses_preferences:
        return Deliver()
    for mute in facts.person.mutes:
        if mute.matches(facts.event.name, facts.topic, facts.actor_id, facts.decision_time):
            return Drop(Reason.MUTED, mute.rule)
    return Deliver()


def duplicate(facts: Facts) -> Answer:
    """Drop a duplicate within the deduplication window of its event, for CRITICAL events too.

    Only ``send()`` decides this; the worker does not recheck it.
    """
    original = facts.original
    if original is None:
        return Deliver()
    detail = {"notification_id": original.notification_id, "at": original.at, "seconds": facts.event.dedup_window}
    return Drop(Reason.DUPLICATE, Rule(RuleKind.DUPLICATE, "event", detail))


GATES: Sequence[Gate] = (recipient, address, suppression, preferences, mutes, duplicate, quiet_hours, digest)
# send() looks for duplicates only among recipients whom these gates let through.
GATES_BEFORE_DUPLICATE = GATES[: GATES.index(duplicate)]
# Without address, because a delivery keeps its address, and without digest, because it waits for one digest only.
RECHECKED_GATES: Sequence[Gate] = (recipient, suppression, preferences, mutes, quiet_hours)
# The gates for the items of a digest or batch. The quiet hours are checked for the digest itself.
DIGEST_ITEM_GATES = tuple(gate for gate in RECHECKED_GATES if gate is not quiet_hours)


def decide(facts: Facts, gates: Sequence[Gate] = GATES) -> Answer:
    """Call the gates in order and return their decision."""
    decision: Answer = Deliver()
    for gate in gates:
        answer = gate(facts)
        if isinstance(answer, Drop):
            return answer
        if isinstance(answer, Hold):
            decision = answer
    return decision


def find_obstacle(delivery: Delivery) -> tuple[Reason, str] | None:
    """Return why the gates cannot decide about a queued delivery, as a reason and an error; None if they can."""
    try:
        get_address_kind(delivery.channel)
    except ChannelNotConfigured as error:
        return Reason.NOT_CONFIGURED, str(error)
    if NOTIFICATION_EVENTS.named(delivery.notification.event) is None:
        return Reason.UNKNOWN_EVENT, EVENT_NOT_REGISTERED.format(delivery.notification.event)
    return None


def recheck(
    delivery: Delivery, person: Person, suppressed: frozenset[SuppressedAddress], now: datetime, gates: Sequence[Gate]
) -> Answer:
    """Decide about a queued delivery: drop it if it was cancelled or has expired, or else call these gates."""
    if delivery.notification.cancelled_at is not None:
        return Drop(Reason.CANCELLED)
    expires_at = delivery.notification.expires_at
    if expires_at is not None and expires_at <= now:
        return Drop(Reason.EXPIRED)
    return decide(build_facts(delivery, person, suppressed, now), gates)
