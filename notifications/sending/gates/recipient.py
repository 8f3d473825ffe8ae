from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def recipient(facts: Facts) -> Answer:
    """Only active members. A bare address belongs to no cluster; the host vouches for it by naming it."""
    person = facts.person
    if person.has_no_account:
        return Deliver()
    if person.user is None:
        return Drop(Reason.UNKNOWN_USER)
    if not person.user.is_active:
        return Drop(Reason.INACTIVE)
    return Deliver() if person.member else Drop(Reason.NOT_MEMBER, Rule(RuleKind.NOT_MEMBER, "site"))
