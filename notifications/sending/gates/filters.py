from notifications.outcomes import Answer, Deliver, Drop, Reason
from notifications.sending.gates.facts import Facts


def filters(facts: Facts) -> Answer:
    """Drop what the user has muted, until the mute ends. Events declared CRITICAL are never dropped."""
    if facts.event.bypasses_preferences:
        return Deliver()
    arguments = facts.event.name, facts.topic, facts.actor_id, facts.decision_time
    match = next((mute for mute in facts.person.mutes if mute.matches(*arguments)), None)
    return Drop(Reason.MUTED, match.rule) if match else Deliver()
