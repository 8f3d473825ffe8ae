from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def recipient(facts: Facts) -> Answer:
    """Drop users who are not active members of the cluster.

    An address belongs to no cluster and always passes: the host is responsible for the addresses that it names.
    """
    person = facts.person
    if person.has_no_account:
        return Deliver()
    if person.user is None:
        return Drop(Reason.UNKNOWN_USER)
    if not person.user.is_active:
        return Drop(Reason.INACTIVE)
    return Deliver() if person.is_member else Drop(Reason.NOT_MEMBER, Rule(RuleKind.NOT_MEMBER, "site"))
