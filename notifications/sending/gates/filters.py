from notifications.outcomes import Answer, Deliver, Drop, Reason
from notifications.sending.gates.facts import Facts


def filters(facts: Facts) -> Answer:
    """What the user has muted, until its time is over; not asked about events declared CRITICAL."""
    if facts.event.bypasses_preferences:
        return Deliver()
    about = facts.event.name, facts.topic, facts.actor_id, facts.moment
    muted = next((mute for mute in facts.person.mutes if mute.covers(*about)), None)
    return Drop(Reason.MUTED, muted.rule) if muted else Deliver()
