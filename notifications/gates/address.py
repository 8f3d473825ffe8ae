from notifications.addresses import well_formed
from notifications.gates.facts import Facts
from notifications.outcomes import Answer, Deliver, Drop, Reason


def address(facts: Facts) -> Answer:
    """There must be somewhere to send to, and it must be well formed."""
    if not facts.kind:
        return Deliver()
    if not facts.address:
        return Drop(Reason.NO_ADDRESS, f"no {facts.kind} address")
    return Deliver() if well_formed(facts.kind, facts.address) else Drop(Reason.INVALID_ADDRESS)
