from notifications.core.addresses import is_well_formed
from notifications.outcomes import Answer, Deliver, Drop, Reason
from notifications.sending.gates.facts import Facts


def address(facts: Facts) -> Answer:
    """There must be somewhere to send to, and it must be well formed."""
    if not facts.kind:
        return Deliver()
    if not facts.address:
        return Drop(Reason.NO_ADDRESS, f"no {facts.kind} address")
    return Deliver() if is_well_formed(facts.kind, facts.address) else Drop(Reason.INVALID_ADDRESS)
