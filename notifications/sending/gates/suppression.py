from notifications.models.suppression import hash_normalized
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def suppression(facts: Facts) -> Answer:
    """Drop suppressed addresses, for CRITICAL events too: a provider has said that they do not exist."""
    if (facts.kind, hash_normalized(facts.address)) in facts.suppressed:
        return Drop(Reason.SUPPRESSED, Rule(RuleKind.SUPPRESSED, detail={"kind": facts.kind}))
    return Deliver()
