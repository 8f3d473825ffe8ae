"""Why a gate lets somebody through, in a few words."""

from collections.abc import Callable, Mapping

from notifications.core.addresses import describe_fault
from notifications.core.rules import describe_rule
from notifications.events import NotificationPriority
from notifications.sending.gates import Facts
from notifications.sending.gates.preferences import resolve_choice
from notifications.sending.gates.quiet_hours import get_timetable

CRITICAL = "not asked, since the event is CRITICAL"


def _recipient(facts: Facts) -> str:
    if facts.person.has_no_account:
        return "an address belongs to no cluster; who names it vouches for it"
    return "active, and a member of the cluster"


def _address(facts: Facts) -> str:
    if facts.kind == "user":
        return "an account needs no address"
    if facts.rejected_address:
        fault = describe_fault(facts.kind, facts.rejected_address)
        return f"the {facts.kind} address in the settings is {fault}; that of the account is used"
    return f"there is a well-formed {facts.kind} address" if facts.kind else "the channel needs no address"


def _suppression(facts: Facts) -> str:
    outside = facts.kind not in ("", "user")
    return "no provider has called the address bad" if outside else "the channel sends to no address outside"


def _preferences(facts: Facts) -> str:
    if facts.event.bypasses_preferences:
        return CRITICAL
    return "an address has no preferences" if facts.person.has_no_account else describe_rule(resolve_choice(facts)[1])


def _filters(facts: Facts) -> str:
    return CRITICAL if facts.event.bypasses_preferences else "neither topic, event nor sender is muted"


def _duplicate(facts: Facts) -> str:
    window = facts.event.dedup_window
    if not window:
        return "the event has no window for repeats"
    return f"no repeat within the window of {window:g} seconds"


def _quiet_hours(facts: Facts) -> str:
    if facts.event.is_sent_at_any_hour:
        return "the event goes at any hour"
    timetable = get_timetable(facts)
    if timetable is None:
        return "there are no hours to keep"
    quiet = [f"quiet hours {timetable.quiet}"] if timetable.quiet else []
    windows = [f"delivery windows {', '.join(map(str, timetable.windows))}"] if timetable.windows else []
    return f"may go out at this hour; {', '.join(quiet + windows)} {timetable.zone.key}"


def _digest(facts: Facts) -> str:
    if facts.effective_priority == NotificationPriority.CRITICAL:
        return "what is CRITICAL waits for no others"
    return "neither a digest nor a batch is waited for"


WORDS: Mapping[str, Callable[[Facts], str]] = {
    "recipient": _recipient,
    "address": _address,
    "suppression": _suppression,
    "preferences": _preferences,
    "filters": _filters,
    "duplicate": _duplicate,
    "quiet_hours": _quiet_hours,
    "digest": _digest,
}
