"""Which of many users have which permissions, in a number of queries that does not depend on the number of users."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import PermissionsMixin
from django.db import router

from notifications.storage.engine import array_subquery

Permissions = Mapping[Any, Collection[str]]
"""The names of permissions, such as ``shop.change_order``, by the key of a user."""


def find_permissions(required: Permissions) -> Permissions:
    """Return which of these permissions these users have. Users without any are missing.

    It takes a query for each permission. If the site decides about permissions with code of its own, it takes one query
    for the users and those of that code for each of them.
    """
    found: dict[Any, set[str]] = defaultdict(set)
    for user_id, permission in _query(required) if _is_standard() else _ask(required):
        found[user_id].add(permission)
    return found


def _is_standard() -> bool:
    """Return whether Django's own tables of permissions decide, and nothing else."""
    model: Any = get_user_model()
    is_own = getattr(model, "has_perm", None) is not PermissionsMixin.has_perm
    return not is_own and all(type(backend) is ModelBackend for backend in get_backends())


def _query(required: Permissions) -> Iterator[tuple[Any, str]]:
    for permission in sorted({name for names in required.values() for name in names}):
        user_ids = [user_id for user_id, names in required.items() if permission in names]
        holders = _select(ModelBackend().with_perm(permission), user_ids)
        yield from ((user_id, permission) for user_id in holders.values_list("pk", flat=True))


def _ask(required: Permissions) -> Iterator[tuple[Any, str]]:
    if required:
        for user in _select(get_user_model()._base_manager, required):
            yield from ((user.pk, name) for name in required[user.pk] if user.has_perm(name))


def _select(users: Any, user_ids: Collection[Any]) -> Any:
    model: Any = get_user_model()
    using = router.db_for_write(model)
    return users.using(using).filter(pk__in=array_subquery(user_ids, model._meta.pk, using))
