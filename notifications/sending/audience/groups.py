"""Groups as recipients: those of the user model's own field ``groups``, which is Django's ``Group`` unless changed."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet

from notifications.exceptions import InvalidOption
from notifications.sending.audience.order import can_reorder


class NoGroupModel:
    """What no recipient is: the model of groups of a site whose users have none."""


def group_model() -> type[Any]:
    """The model of the groups that users can be in."""
    try:
        field: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return NoGroupModel
    return field.related_model if field.many_to_many else NoGroupModel


def explain_unusable_group(model: Any) -> str:
    """Why groups of this model are no recipients; empty if it is no model of groups at all."""
    if getattr(getattr(model, "_meta", None), "label_lower", "") != "auth.group":
        return ""
    users, ours = get_user_model().__name__, group_model()
    if ours is NoGroupModel:
        return (
            f"The user model {users} has no groups, so a Group cannot be notified. Pass the users themselves, or a "
            "queryset of them."
        )
    return f"The groups of {users} are of the model {ours.__name__}; a Group of django.contrib.auth has no users here."


def get_group_pk(name: str) -> Any:
    """The primary key of the group of this name.

    :raises InvalidOption: if there is none.
    """
    model = group_model()
    found = None if model is NoGroupModel else model._default_manager.filter(name=name).first()
    if found is None:
        raise InvalidOption(
            f"There is no group named {name!r}. Create it, or let NOTIFICATIONS['MESSAGE_RECIPIENTS'] name another "
            "one, or the dotted path of a callable(cluster) that returns recipients."
        )
    return found.pk


def get_users_in_groups(groups: QuerySet[Any] | Collection[Any]) -> QuerySet[Any]:
    """Those who are in one of these groups, given by a queryset or by primary keys."""
    if isinstance(groups, QuerySet):
        keys = groups.values_list("pk", flat=True)
        # Of a database that the host has chosen, which need not be the one that users are read from.
        groups = keys.order_by() if can_reorder(groups) and getattr(groups, "_db", None) is None else list(keys)
    return get_user_model()._default_manager.filter(groups__in=groups)
