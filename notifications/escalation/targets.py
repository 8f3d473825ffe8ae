"""Who a target of an escalation is. It is looked up when the step is sent, so that it is right at that time."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf.problem import suggest
from notifications.core.addresses import is_url_name, is_well_formed
from notifications.core.databases import is_in_transaction
from notifications.escalation.schedules import load_schedule
from notifications.events.escalation import TARGET_KINDS, Target, parse_target
from notifications.exceptions import InvalidRecipient, KlaxonError
from notifications.models import Notification, Rota
from notifications.recipients import Address, To, Topic
from notifications.sending.audience import Audience


class UnresolvedTarget(KlaxonError):
    """A target of an escalation does not exist, or is nobody at present."""


def expand_targets(texts: Any) -> list[Target]:
    """Return targets with the names of ``ESCALATION_TARGETS`` replaced by what they stand for.

    :raises UnresolvedTarget: if a name is not in the setting.
    """
    found: list[Target] = []
    for text in texts:
        target = parse_target(text)
        found += [target] if target.kind else _read_name(target.value)
    return found


def _read_name(name: str) -> list[Target]:
    named = conf.current().escalation_targets
    if name not in named:
        raise UnresolvedTarget(
            f"NOTIFICATIONS['ESCALATION_TARGETS'] has no {name!r}. {suggest(name, named, 'targets')} "
            f'Add it, such as {{"{name}": "{TARGET_KINDS["role"]}"}}.'
        )
    texts = named[name]
    found = [parse_target(text) for text in ([texts] if isinstance(texts, str) else texts)]
    if any(not target.kind for target in found):
        raise UnresolvedTarget(
            f"NOTIFICATIONS['ESCALATION_TARGETS'][{name!r}] names another target. Write {TARGET_KINDS['role']!r} or "
            "another form with a colon."
        )
    return found


def resolve(target: Target, notification: Notification, now: Any) -> list[Any]:
    """Return the recipients that a target stands for, as ``send()`` takes them.

    :raises UnresolvedTarget: if it does not exist, or a rota has a gap now. A function of the site may raise any error.
    """
    if target.kind == "path":
        recipients = import_string(target.value)(notification)
        if recipients is None:
            raise UnresolvedTarget(f"{target.value}() has returned nobody.")
        is_many = isinstance(recipients, Iterable) and not isinstance(recipients, str | bytes | Mapping | QuerySet)
        return list(recipients) if is_many else [recipients]
    return [RESOLVERS[target.kind](target.value, notification.cluster, now)]


def find_user(name: str, cluster: Any = None, now: Any = None) -> Any:
    """Return the user with this login name.

    :raises UnresolvedTarget: if there is none.
    """
    model = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    if user is None:
        raise UnresolvedTarget(f"There is no user {name!r}.")
    return user


def find_role(name: str, cluster: Any = None, now: Any = None) -> Group:
    """Return the group with this name.

    :raises UnresolvedTarget: if there is none.
    """
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise UnresolvedTarget(f"There is no group {name!r}. Create it, and add its users.")
    return group


def parse_address(value: str, cluster: Any = None, now: Any = None) -> Address:
    """Return the address of a text such as ``email=office@example.com phone=+4915112345678``.

    :raises UnresolvedTarget: if it has another form, no channel uses the kind, or an address is not valid.
    """
    pairs = [part.partition("=") for part in value.split()]
    if not pairs or not all(kind and equals and found for kind, equals, found in pairs):
        raise UnresolvedTarget(f"{value!a:.80} is not an address. Write {TARGET_KINDS['address']}.")
    try:
        address = Address(**{kind: found for kind, _equals, found in pairs})
    except InvalidRecipient as error:
        raise UnresolvedTarget(str(error)) from error
    for kind, found in address.by_kind:
        if not is_well_formed(kind, found) and not is_url_name(kind, found):
            raise UnresolvedTarget(f"{found!a:.80} is not a valid address of the kind {kind!r}.")
    return address


def find_rota(key: str, cluster: Any) -> Rota:
    """Return the rota with this key in a cluster.

    :raises UnresolvedTarget: if there is none.
    """
    rota = Rota.objects.find(cluster, key)
    if rota is None:
        raise UnresolvedTarget(f"There is no rota {key!r} in {cluster}. Create it in the admin.")
    return rota


def find_holder(key: str, cluster: Any, now: Any) -> Any:
    """Return the user who is on call now.

    :raises UnresolvedTarget: if there is no such rota, or nobody is on call.
    """
    rota = find_rota(key, cluster)
    holder = load_schedule(rota).find_holder(now)
    user = get_user_model()._default_manager.filter(pk=holder).first() if holder is not None else None
    if user is None:
        raise UnresolvedTarget(f"Nobody is on call in the rota {key!r} at {now:%Y-%m-%d %H:%M} UTC.")
    return user


def _make_topic(value: str, cluster: Any, now: Any) -> Topic:
    return Topic(value)


RESOLVERS: dict[str, Any] = {
    "user": find_user,
    "role": find_role,
    "topic": _make_topic,
    "address": parse_address,
    "rota": find_holder,
}


def resolve_all(texts: Any, notification: Notification, now: Any, using: str) -> tuple[list[Any], list[str]]:
    """Return the recipients of targets, and the reasons why some targets have none.

    Each target has a savepoint, because a function of the site may break the transaction.
    """
    recipients: list[Any] = []
    faults: list[str] = []
    for text in texts:
        for target, fault in _expand_each(text):
            if target is None:
                faults.append(fault)
                continue
            try:
                # explain() reads without a transaction, and must not lock the database.
                with transaction.atomic(using=using) if is_in_transaction(using) else nullcontext():
                    found = resolve(target, notification, now)
            except Exception as error:  # noqa: BLE001 - the function of a site may fail in any way; it is recorded
                faults.append(f"{':'.join(target)}: {type(error).__name__}: {error}"[:500])
                continue
            for recipient in found:
                if fault := find_recipient_fault(recipient, notification.cluster):
                    faults.append(f"{':'.join(target)}: {fault}"[:500])
                else:
                    recipients.append(recipient)
    return recipients, faults


def find_recipient_fault(recipient: Any, cluster: Any) -> str:
    """Return why ``send()`` would refuse a recipient, and with it all others; empty if it would not."""
    try:
        Audience(recipient.recipients if isinstance(recipient, To) else [recipient], cluster)
    except KlaxonError as error:
        return str(error)
    return ""


def _expand_each(text: str) -> Iterator[tuple[Target | None, str]]:
    try:
        for target in expand_targets([text]):
            yield target, ""
    except (UnresolvedTarget, ValueError) as error:
        yield None, str(error)
