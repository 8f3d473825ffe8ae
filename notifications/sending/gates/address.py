from notifications.core.addresses import is_well_formed
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def address(facts: Facts) -> Answer:
    """Drop if there is no address for the channel, or if it is malformed."""
    if not facts.kind:
        return Deliver()
    if not facts.address:
        return Drop(Reason.NO_ADDRESS, Rule(RuleKind.NO_ADDRESS, detail={"kind": facts.kind}))
    return Deliver() if is_well_formed(facts.kind, facts.address) else Drop(Reason.INVALID_ADDRESS)
