from notifications.models.suppression import hash_normalized
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def suppression(facts: Facts) -> Answer:
    """Nothing is sent to an address that a provider called bad, not even what is CRITICAL: it would not arrive."""
    if (facts.kind, hash_normalized(facts.address)) in facts.suppressed:
        return Drop(Reason.SUPPRESSED, Rule(RuleKind.SUPPRESSED, detail={"kind": facts.kind}))
    return Deliver()
