"""Announcements about accounts: a stream ends at logout, and its client begins again after a change of roles.

The receivers are connected when Django starts. They cover sessions, accounts, groups and the members of clusters in
Klaxon's own tables. Call :func:`announce_role_change` for roles that the host keeps in its own tables.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import router, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from notifications.live.announce import Kind, hash_session, publish
from notifications.live.hub import HUB
from notifications.models import InboxItem, get_cluster_model

UNIMPORTANT = {"last_login"}
"""Fields of a user that do not decide who may sign in."""


def announce_role_change(user_ids: Iterable[Any]) -> None:
    """Let the open pages of these users load the inbox again, because they may see other items than before.

    Call it in the transaction that gives a user a role, or takes one away, that ``MEMBERS_OF`` depends on.
    """
    publish(Kind.ROLES, map(str, user_ids), _get_database())


def connect() -> None:
    """Connect the receivers."""
    user_model: Any = get_user_model()
    user_logged_out.connect(_receive_logout, dispatch_uid="klaxon.live.logout")
    post_save.connect(_receive_saved_account, sender=user_model, dispatch_uid="klaxon.live.account")
    post_delete.connect(_receive_deleted_account, sender=user_model, dispatch_uid="klaxon.live.deleted")
    _connect_roles(user_model, "groups")
    # The check klaxon.E008 reports a setting that names no model.
    with suppress(LookupError, ValueError):
        _connect_roles(get_cluster_model(), "members")


def _connect_roles(model: Any, name: str) -> None:
    """Connect the receiver to a many-to-many relation, if the model has it."""
    through = getattr(getattr(model, name, None), "through", None)
    if through is not None:
        m2m_changed.connect(_receive_roles, sender=through, dispatch_uid=f"klaxon.live.{name}")


def _get_database() -> str:
    return router.db_for_write(InboxItem)


def _receive_logout(*, request: Any, user: Any, **kwargs: Any) -> None:
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if user is None or not session_key:
        return
    session_hash, using = hash_session(session_key), _get_database()
    publish(Kind.SESSION, [session_hash], using)
    # SQLite carries no announcements, and most sites on SQLite have one process.
    transaction.on_commit(partial(HUB.end_session, session_hash), using=using)


def _receive_saved_account(*, instance: Any, created: bool, update_fields: Any, **kwargs: Any) -> None:
    if not created and not (update_fields and set(update_fields) <= UNIMPORTANT):
        publish(Kind.ACCOUNT, [str(instance.pk)], _get_database())


def _receive_deleted_account(*, instance: Any, **kwargs: Any) -> None:
    publish(Kind.ACCOUNT, [str(instance.pk)], _get_database())


def _receive_roles(*, sender: Any, instance: Any, action: str, model: Any, pk_set: Any, **kwargs: Any) -> None:
    """Announce whose groups or clusters change. Before a relation is cleared, the table still has its users."""
    if action not in ("post_add", "post_remove", "pre_clear"):
        return
    user_model = get_user_model()
    if not issubclass(model, user_model):
        announce_role_change([instance.pk])
    elif pk_set is not None:
        announce_role_change(pk_set)
    else:
        owner, user = (_find_column(sender, one) for one in (type(instance), user_model))
        announce_role_change(sender._base_manager.filter(**{owner: instance.pk}).values_list(user, flat=True))


def _find_column(through: Any, model: type) -> str:
    """Return the column of a many-to-many table that refers to this model."""
    return next(
        field.attname for field in through._meta.fields if field.remote_field and issubclass(model, field.related_model)
    )
