"""The cluster that a request is about. A foreign one gives the same 404 as one that does not exist."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import IntegerField
from django.http import Http404

from notifications.api.auth import Caller
from notifications.api.problems import Problem
from notifications.models import Cluster, get_cluster_model
from notifications.preference_centre.clusters import is_member

MAX_INTEGER = 2**63 - 1


def parse_key(model: Any, text: str) -> Any:
    """Return a primary key of a model, or None if the text cannot be one."""
    field: Any = model._meta.pk
    try:
        key = field.to_python(text)
    except ValidationError:
        return None
    if isinstance(field.target_field if field.remote_field else field, IntegerField):
        # int() reads more than digits, such as "1_0" and Arabic numerals.
        is_number = text.isascii() and text.isdigit()
        return key if is_number and key <= MAX_INTEGER else None
    return key


def choose_cluster(caller: Caller, key: str | None) -> Any:
    """Return the cluster of a request.

    A caller reaches the clusters that the user is a member of; superusers reach all. An API key can be limited further.

    :param key: the primary key that the request names. If it is None, the cluster is the only one of the API key, or
        the default cluster.
    :raises Problem: 404 if the caller cannot reach the cluster; 422 if the request must name one.
    """
    cluster = _find_cluster(caller, key)
    if cluster is None or not caller.may_reach(cluster.pk):
        raise _make_not_found()
    if not (caller.user.is_superuser or is_member(caller.user, cluster)):
        raise _make_not_found()
    return cluster


def require_reach(caller: Caller, cluster_key: Any) -> None:
    """Check that the caller reaches the cluster of an object.

    :raises Http404: if not. The answer is the same as for an object that does not exist.
    """
    try:
        choose_cluster(caller, str(cluster_key))
    except Problem as error:
        raise Http404 from error


def _make_not_found() -> Problem:
    return Problem("not-found", "There is no such cluster, or it cannot be reached.")


def _find_cluster(caller: Caller, text: str | None) -> Any:
    model = get_cluster_model()
    if text is not None:
        key = parse_key(model, text)
    elif caller.cluster_keys is not None and len(caller.cluster_keys) == 1:
        [key] = caller.cluster_keys
    elif model is Cluster:
        return Cluster.objects.default()
    else:
        raise Problem("invalid", "Name the cluster.", errors=[{"location": "cluster", "message": "It is missing."}])
    return None if key is None else model._default_manager.filter(pk=key).first()


def reaches_everything(caller: Caller) -> bool:
    """Return whether the caller may see and change what belongs to all clusters.

    Superusers may. On a site whose only cluster is the default one, everybody with the permission may.
    """
    if caller.cluster_keys is not None:
        return False
    if caller.user.is_superuser:
        return True
    if get_cluster_model() is not Cluster or Cluster.objects.exclude(pk=Cluster.objects.default().pk).exists():
        return False
    return is_member(caller.user, Cluster.objects.default())


def require_everything(caller: Caller) -> None:
    """Check that the caller may see and change what belongs to all clusters.

    :raises Problem: if not.
    """
    if not reaches_everything(caller):
        raise Problem("not-permitted", "This concerns all clusters, and the caller is limited to some.")
