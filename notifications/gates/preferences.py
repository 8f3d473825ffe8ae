from notifications.gates.facts import Facts
from notifications.outcomes import Answer, Deliver, Drop, Reason


def preferences(facts: Facts) -> Answer:
    """Opt-outs hold, except for events declared CRITICAL."""
    settings = facts.person.settings
    if facts.event.bypasses_preferences or settings is None:
        return Deliver()
    wanted, rule = settings.decision(facts.event.name, facts.event.category, facts.channel)
    return Deliver() if wanted else Drop(Reason.PREFERENCE, rule)
