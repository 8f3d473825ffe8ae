"""Clusters, which are tenants. The setting ``NOTIFICATIONS_CLUSTER_MODEL`` swaps the model."""

from inspect import getattr_static
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.databases import reload_from_primary
from notifications.exceptions import InvalidCluster

DEFAULT_SLUG = "default"
DEFAULTS = {"name": "Default", "open_to_all": True}


class ClusterManager(models.Manager["Cluster"]):
    def default(self) -> "Cluster":
        """Return the default cluster, for sites with only one; the first call creates it, open to all active users."""
        return self._load_default() or self.get_or_create(slug=DEFAULT_SLUG, defaults=DEFAULTS)[0]

    def default_or_unsaved(self) -> "Cluster":
        """Return the default cluster without creating it: an unsaved instance, only for reading, if it is missing."""
        return self._load_default() or Cluster(pk=0, slug=DEFAULT_SLUG, **DEFAULTS)

    def _load_default(self) -> "Cluster | None":
        # The SQL is written by hand, because each send without a cluster runs it and Django takes longer to compose it
        # than the database to answer.
        using = self._db or router.db_for_write(self.model)
        names = [field.attname for field in self.model._meta.concrete_fields]
        sql = f"SELECT {', '.join(names)} FROM {self.model._meta.db_table} WHERE slug = %s"  # noqa: S608 - names of columns
        with connections[using].cursor() as cursor:
            cursor.execute(sql, [DEFAULT_SLUG])
            row = cursor.fetchone()
        return None if row is None else self.model.from_db(using, names, row)


class Cluster(models.Model):
    """A tenant, such as an estate, a hospital or a vehicle. The site can use its own model instead."""

    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("slug"), max_length=100, unique=True)
    open_to_all = models.BooleanField(
        _("open to all"), default=False, help_text=_("Every active user is a member, listed or not.")
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, verbose_name=_("members"), blank=True, related_name="notification_clusters"
    )

    objects = ClusterManager()

    class Meta:
        swappable = "NOTIFICATIONS_CLUSTER_MODEL"
        verbose_name = _("cluster")
        verbose_name_plural = _("clusters")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def get_cluster_model() -> type[models.Model]:
    """Return the model that ``NOTIFICATIONS_CLUSTER_MODEL`` names."""
    return apps.get_model(settings.NOTIFICATIONS_CLUSTER_MODEL, require_ready=False)


def members_of(cluster: Cluster) -> models.QuerySet[Any]:
    """Return the members of a cluster: all active users if it is open, otherwise its ``members``.

    This is the default of ``MEMBERS_OF``.

    :raises InvalidCluster: if the site has its own cluster model.
    """
    if not isinstance(cluster, Cluster):
        raise InvalidCluster(
            f"The members of a {type(cluster).__name__} are unknown to Klaxon. Set NOTIFICATIONS['MEMBERS_OF'] to the "
            "dotted path of a callable that takes the cluster and returns a queryset of users."
        )
    if not cluster.open_to_all:
        return cluster.members.all()
    users = get_user_model()
    everyone = users._default_manager.all()
    # As in Django, all users are active if the user model has no such column.
    return everyone if getattr_static(users, "is_active", None) is True else everyone.filter(is_active=True)


def builtin_membership_condition(cluster: Any, key: str, is_active: str, using: str) -> tuple[str, list[Any]] | None:
    """Return :func:`members_of` as an SQL condition on a user's primary key, with its parameters.

    Returns None if ``MEMBERS_OF`` is set to another callable. The SQL is written by hand, because each send runs it and
    Django would take longer to compose it than the database to answer.

    :param key: SQL for the user's primary key.
    :param is_active: SQL for whether the user is active.
    """
    if conf.current().members_of != conf.Conf.members_of or not isinstance(cluster, Cluster):
        return None
    if cluster.open_to_all:
        return is_active, []
    members: Any = Cluster._meta.get_field("members")
    quote = connections[using].ops.quote_name
    table, user = quote(members.m2m_db_table()), quote(members.m2m_reverse_name())
    return f"EXISTS (SELECT 1 FROM {table} WHERE cluster_id = %s AND {user} = {key})", [cluster.pk]  # noqa: S608 - only names of tables and columns


def cluster_or_default(cluster: Any) -> Any:
    """Return the cluster or, for ``None``, the default cluster.

    :raises InvalidCluster: for ``None`` if the site has its own cluster model, and so no default.
    """
    if cluster is not None:
        # If the host has read it from a replica, it may be outdated.
        return reload_from_primary(cluster) or cluster
    if get_cluster_model() is not Cluster:
        raise InvalidCluster(f"cluster must be a {get_cluster_model().__name__}, not None.")
    return Cluster.objects.default()


def get_members(cluster: Any) -> models.QuerySet[Any]:
    """Return the members of a cluster, or of the default one for ``None``, as ``MEMBERS_OF`` defines them.

    :raises InvalidCluster: if ``MEMBERS_OF`` does not return a queryset that can be filtered.
    """
    members = import_string(conf.current().members_of)(cluster_or_default(cluster))
    if not isinstance(members, models.QuerySet) or members.query.combinator or members.query.is_sliced:
        raise InvalidCluster(
            f"NOTIFICATIONS['MEMBERS_OF'] returned {_describe(members)} for {cluster!r:.80}. It must return a queryset "
            "of users that can be filtered: combine two with | or with Q(…) | Q(…), and do not slice one."
        )
    return members


def _describe(members: Any) -> str:
    if not isinstance(members, models.QuerySet):
        return f"a {type(members).__name__}"
    return f"the result of {members.query.combinator}()" if members.query.combinator else "a slice"
