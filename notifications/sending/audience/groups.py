"""Groups as recipients: the model of the user model's ``groups`` field, which is Django's ``Group`` by default."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet

from notifications.exceptions import InvalidOption
from notifications.sending.audience.order import can_reorder


class NoGroupModel:
    """Stands for the group model if the user model has no groups. No recipient is an instance of it."""


def get_group_model() -> type[Any]:
    """Return the model of the groups that users can be in."""
    try:
        field: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return NoGroupModel
    return field.related_model if field.many_to_many else NoGroupModel


def explain_unusable_group(model: Any) -> str:
    """Return why groups of this model cannot be recipients; empty if it is not Django's ``Group``."""
    if getattr(getattr(model, "_meta", None), "label_lower", "") != "auth.group":
        return ""
    users, model_of_groups = get_user_model().__name__, get_group_model()
    if model_of_groups is NoGroupModel:
        return (
            f"The user model {users} has no groups, so a Group cannot be notified. Pass the users themselves, or a "
            "queryset of them."
        )
    return (
        f"The groups of {users} are of the model {model_of_groups.__name__}; a Group of django.contrib.auth has no "
        "users on this site."
    )


def get_group_pk(name: str) -> Any:
    """Return the primary key of the group with this name.

    :raises InvalidOption: if there is none.
    """
    model = get_group_model()
    group = None if model is NoGroupModel else model._default_manager.filter(name=name).first()
    if group is None:
        raise InvalidOption(
            f"There is no group named {name!r}. Create it, or let NOTIFICATIONS['MESSAGE_RECIPIENTS'] name another "
            "one, or the dotted path of a callable(cluster) that returns recipients."
        )
    return group.pk


def get_users_in_groups(groups: QuerySet[Any] | Collection[Any]) -> QuerySet[Any]:
    """Return the users in these groups.

    :param groups: a queryset of groups, or their primary keys.
    """
    if isinstance(groups, QuerySet):
        keys = groups.values_list("pk", flat=True)
        # If the host has chosen a database, it may differ from that of the users, so there can be no subquery.
        groups = keys.order_by() if can_reorder(groups) and getattr(groups, "_db", None) is None else list(keys)
    return get_user_model()._default_manager.filter(groups__in=groups)
