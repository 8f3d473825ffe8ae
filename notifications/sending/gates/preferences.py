from notifications.models.preferences import Choices, resolved
from notifications.outcomes import Answer, Deliver, Drop, Reason
from notifications.sending.gates.facts import Facts


def preferences(facts: Facts) -> Answer:
    """What the user wants, else their roles, else the cluster; not asked about events declared CRITICAL."""
    if facts.event.bypasses_preferences or facts.person.has_no_account:
        return Deliver()
    wanted, rule = resolve_choice(facts)
    return Deliver() if wanted else Drop(Reason.PREFERENCE, rule)


def resolve_choice(facts: Facts) -> tuple[bool, str]:
    """Whether it is wanted, and the rule that says so."""
    person = facts.person
    levels: list[Choices] = [*([person.settings] if person.settings else []), *person.shared]
    return resolved(levels, facts.event.name, facts.event.category, facts.channel)
