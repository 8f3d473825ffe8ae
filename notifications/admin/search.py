"""Search large tables for whole words, in the indexed columns that each word can refer to.

Django's own search scans the table for each word, even with ``__exact`` on a number, which it casts to text.
"""

import re
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.text import smart_split

from notifications.core.addresses import hash_address, user_key

# A larger number does not fit into the column, and SQLite would raise an error.
NUMBER = re.compile(r"\d{1,18}")
NO_ROWS = Q(pk__in=())
MAX_USERS = 100


def split_terms(text: str) -> list[str]:
    return [word.strip("\"'") for word in smart_split(text)]


def match_number(term: str, *columns: str) -> Q:
    """Return the condition that one of the columns equals a number."""
    if not NUMBER.fullmatch(term):
        return NO_ROWS
    return Q.create([(column, int(term)) for column in columns], connector=Q.OR)


def match_recipient(term: str, column: str = "recipient") -> Q:
    """Return the condition that the column refers to a user with this login name, email address or key (``u:42``)."""
    if term.startswith(user_key("")):
        return _match_key(term, column)
    users = get_user_model()._default_manager.filter(_match_name(term))
    # A list of keys and not a subquery, because PostgreSQL cannot use an index for a subquery within an OR.
    return Q((f"{column}__in", list(users.values_list("pk", flat=True)[:MAX_USERS])))


def match_without_user(term: str) -> Q:
    """Return the condition for a delivery to a bare address or a deleted user, by its key or its address.

    The condition ``recipient IS NULL`` is necessary, because only it has an index.
    """
    return Q(recipient__isnull=True) & (Q(recipient_key=term) | Q(address_hash=hash_address(term)))


def _match_name(term: str) -> Q:
    model: Any = get_user_model()
    named = Q(**{model.USERNAME_FIELD: term})
    email = getattr(model, "EMAIL_FIELD", "")
    return named | Q(**{email: term}) if email and "@" in term else named


def _match_key(term: str, column: str) -> Q:
    try:
        pk = get_user_model()._meta.pk.to_python(term.removeprefix(user_key("")))
    except ValidationError:
        return NO_ROWS
    return NO_ROWS if isinstance(pk, int) and not NUMBER.fullmatch(str(pk)) else Q((column, pk))
