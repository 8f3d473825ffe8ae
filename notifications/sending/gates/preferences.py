from notifications.models.preferences import PreferenceLevel, resolve_preference
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule
from notifications.sending.gates.facts import Facts, Person


def preferences(facts: Facts) -> Answer:
    """Drop what the user does not want. If the user has not chosen, their roles decide, then the cluster.

    Events declared CRITICAL are never dropped.
    """
    if facts.event.bypasses_preferences or facts.person.has_no_account:
        return Deliver()
    wanted, rule = resolve_choice(facts)
    return Deliver() if wanted else Drop(Reason.PREFERENCE, rule)


def resolve_choice(facts: Facts) -> tuple[bool, Rule]:
    """Return whether the notification is wanted, and the rule that decides."""
    return resolve_preference(get_choices(facts.person), facts.event.name, facts.event.category, facts.channel)


def get_choices(person: Person) -> list[PreferenceLevel]:
    """Return the choices that apply to a person: their own, those of their roles and that of the cluster."""
    return [*([person.settings] if person.settings else []), *person.shared]
