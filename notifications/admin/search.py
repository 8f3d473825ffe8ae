"""Searching big tables: by whole words, each looked up in the indexed columns that it can mean.

Django's own search scans the table for each word, even with ``__exact`` on a number, which it casts to text.
"""

import re
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.text import smart_split

from notifications.core.addresses import hash_address
from notifications.recipients import user_key

# More digits do not fit into the column, and SQLite raises instead of finding nothing.
NUMBER = re.compile(r"\d{1,18}")
NOTHING = Q(pk__in=())
USERS_FOUND = 100


def terms(text: str) -> list[str]:
    return [word.strip("\"'") for word in smart_split(text)]


def number(term: str, *columns: str) -> Q:
    """One of these columns is the number that was typed."""
    if not NUMBER.fullmatch(term):
        return NOTHING
    return Q.create([(column, int(term)) for column in columns], connector=Q.OR)


def recipient(term: str, column: str = "recipient") -> Q:
    """The column names a user with this login name, email address or key (``u:42``)."""
    if term.startswith(user_key("")):
        return _by_key(term, column)
    users = get_user_model()._default_manager.filter(_is_named(term))
    # A list of keys, not a subquery: PostgreSQL cannot use an index for a subquery beside an OR.
    return Q((f"{column}__in", list(users.values_list("pk", flat=True)[:USERS_FOUND])))


def without_user(term: str) -> Q:
    """A delivery to a bare address, or to a user who was deleted, by its key or its address.

    "Without user" comes first: that is indexed, and the keys themselves are not.
    """
    return Q(recipient__isnull=True) & (Q(recipient_key=term) | Q(address_hash=hash_address(term)))


def _is_named(term: str) -> Q:
    model: Any = get_user_model()
    named = Q(**{model.USERNAME_FIELD: term})
    email = getattr(model, "EMAIL_FIELD", "")
    return named | Q(**{email: term}) if email and "@" in term else named


def _by_key(term: str, column: str) -> Q:
    try:
        pk = get_user_model()._meta.pk.to_python(term.removeprefix(user_key("")))
    except ValidationError:
        return NOTHING
    return NOTHING if isinstance(pk, int) and not NUMBER.fullmatch(str(pk)) else Q((column, pk))
