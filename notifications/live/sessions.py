"""Who may read a stream: the visitor of a request, and whether their session is still valid.

A stream stays open for hours, but Django checks the session only when the request begins. So the hub calls
:func:`find_ended` for its streams every half minute, and at once after an announcement about an account.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import router
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare

from notifications.core.languages import find_own_language
from notifications.live.announce import hash_session
from notifications.storage.engine import array_subquery

SESSIONS_PER_QUERY = 500


@dataclass(frozen=True)
class Visitor:
    """The user of a stream.

    :param session_key: the key of their session; empty if the site has authenticated them without one.
    :param language: the language of Klaxon's own texts for them.
    :param script_prefix: what the paths of the site begin with.
    """

    user_id: Any
    session_key: str = ""
    language: str = ""
    script_prefix: str = "/"

    @property
    def user_key(self) -> str:
        """The primary key as announcements contain it."""
        return str(self.user_id)

    @property
    def session_hash(self) -> str:
        return hash_session(self.session_key) if self.session_key else ""


def identify(request: HttpRequest) -> Visitor | None:
    """Return the visitor of a request, or None if nobody is signed in."""
    user: Any = request.user
    if not user.is_authenticated or not user.is_active:
        return None
    session: Any = getattr(request, "session", None)
    has_session = session is not None and SESSION_KEY in session
    key = (session.session_key or "") if has_session else ""
    return Visitor(user.pk, key, find_own_language(), get_script_prefix())


def identify_by_cookie(request: Any) -> Visitor | None:
    """Do the same for a request that no middleware of Django has seen."""
    request.session = _get_store_class()(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    with translation.override(translation.get_language_from_request(request)):
        visitor = identify(request)
    prefix = getattr(request, "script_name", "")
    return replace(visitor, script_prefix=f"{prefix}/") if visitor and prefix else visitor


def find_ended(visitors: Collection[Visitor]) -> set[Visitor]:
    """Return the visitors whose session has ended, or whose account is inactive, deleted or has a new password.

    It takes one query for the users, and one for each 500 sessions if they are in the database.
    """
    users = _load_users({visitor.user_id for visitor in visitors})
    sessions = dict(_load_sessions({visitor.session_key for visitor in visitors if visitor.session_key}))
    return {
        visitor
        for visitor in visitors
        if (user := users.get(visitor.user_id)) is None
        or (visitor.session_key and not _is_valid(sessions.get(visitor.session_key, {}), user))
    }


def _load_users(user_ids: Collection[Any]) -> dict[Any, Any]:
    model: Any = get_user_model()
    using = router.db_for_write(model)
    users = model._base_manager.using(using).filter(pk__in=array_subquery(user_ids, model._meta.pk, using))
    return {user.pk: user for user in users if user.is_active}


def _load_sessions(keys: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not keys:
        return  # the site may have no sessions at all
    store: Any = _get_store_class()
    if not issubclass(store, DatabaseStore):
        for key in keys:
            yield key, store(key).load()
        return
    model = store.get_model_class()
    ordered = sorted(keys)
    for start in range(0, len(ordered), SESSIONS_PER_QUERY):
        rows = model._base_manager.using(router.db_for_write(model)).filter(
            session_key__in=ordered[start : start + SESSIONS_PER_QUERY], expire_date__gt=timezone.now()
        )
        for row in rows:
            yield row.session_key, store().decode(row.session_data)


def _get_store_class() -> type[SessionBase]:
    store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
    return store


def _is_valid(session: Mapping[str, Any], user: Any) -> bool:
    """Return whether a session belongs to the user, as :func:`django.contrib.auth.get_user` decides it."""
    if session.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
        return False
    if not hasattr(user, "get_session_auth_hash"):
        return True
    expected = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    stored = session.get(HASH_SESSION_KEY) or ""
    return any(constant_time_compare(stored, one) for one in expected)
