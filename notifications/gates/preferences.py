from notifications.gates.facts import Facts
from notifications.models.choices import Choices, resolved
from notifications.outcomes import Answer, Deliver, Drop, Reason


def preferences(facts: Facts) -> Answer:
    """What the user wants, else their roles, else the cluster; not asked about events declared CRITICAL."""
    if facts.event.bypasses_preferences or facts.person.has_no_account:
        return Deliver()
    person = facts.person
    levels: list[Choices] = [*([person.settings] if person.settings else []), *person.shared]
    wanted, rule = resolved(levels, facts.event.name, facts.event.category, facts.channel)
    return Deliver() if wanted else Drop(Reason.PREFERENCE, rule)
