"""Find the recipients and the cluster that a rule file names."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, ValidationError
from django.db.models import Model

from notifications.can.rule_types import Rule
from notifications.exceptions import KlaxonError
from notifications.models import get_cluster_model
from notifications.recipients import Address, GroupNamed, Members, Topic

WORDS = ("members", "group:…", "topic:…", "user:…", "email:…", "phone:…", "url:…")
"""What a rule file can name as recipients."""


def find_cluster(fields: Mapping[str, Any]) -> Model | None:
    """Return the cluster with these values; None, which is the default cluster, if there are none."""
    return get_cluster_model()._default_manager.get(**fields) if fields else None


def make_recipient(word: str, cluster: Model | None) -> Any:
    """Return the recipient that a word of a rule file names: one of ``WORDS``."""
    kind, _colon, name = word.partition(":")
    if kind == "members":
        return Members(cluster)
    if kind == "group":
        return GroupNamed(name)
    if kind == "topic":
        return Topic(name)
    if kind == "user":
        return get_user_model()._default_manager.get_by_natural_key(name)
    return Address(**{kind: name})


def find_word_fault(word: str) -> str:
    """Return what is wrong with a word that names recipients, as far as it can be known without the database."""
    kind, colon, name = word.partition(":")
    if word == "members" or (kind in ("group", "user") and name):
        return ""
    if not colon or not name:
        return f"{word!r} names no recipients. Write one of {', '.join(WORDS)}."
    try:
        make_recipient(word, None)
    except KlaxonError as error:
        return str(error)
    return ""


def find_missing(rule: Rule) -> str:
    """Return which cluster, group or user of a rule is not in the database."""
    if rule.cluster:
        model = get_cluster_model()
        wanted = ", ".join(f"{name} {value!r}" for name, value in rule.cluster.items())
        try:
            count = model._default_manager.filter(**rule.cluster).count()
        except (FieldError, ValidationError, TypeError, ValueError) as error:
            return f"The cluster with {wanted} cannot be looked up: {error}"
        if count != 1:
            return f"There are {count} clusters with {wanted}, and one is needed."
    groups = apps.get_model("auth", "Group")._default_manager if apps.is_installed("django.contrib.auth") else None
    for word in rule.recipients:
        kind, _colon, name = word.partition(":")
        users = get_user_model()
        if kind == "user" and not users._default_manager.filter(**{users.USERNAME_FIELD: name}).exists():
            return f"There is no user {name!r}."
        if kind == "group" and groups is not None and not groups.filter(name=name).exists():
            return f"There is no group {name!r}."
    return ""
