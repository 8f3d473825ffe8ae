"""Clusters: the tenants. The model is swappable by the top-level setting ``NOTIFICATIONS_CLUSTER_MODEL``."""

from inspect import getattr_static
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.primary import reload_from_primary
from notifications.exceptions import InvalidCluster

DEFAULT_SLUG = "default"
DEFAULTS = {"name": "Default", "open_to_all": True}


class ClusterManager(models.Manager["Cluster"]):
    def default(self) -> "Cluster":
        """The cluster of sites that have only one; made when first asked for, open to all active users."""
        return self._stored_default() or self.get_or_create(slug=DEFAULT_SLUG, defaults=DEFAULTS)[0]

    def default_or_likeness(self) -> "Cluster":
        """The same without making it: where nothing was sent yet, one that stands in no table, for reading alone."""
        return self._stored_default() or Cluster(pk=0, slug=DEFAULT_SLUG, **DEFAULTS)

    def _stored_default(self) -> "Cluster | None":
        """By hand, since each send without a cluster asks for it, and Django takes longer to ask than to answer."""
        using = self._db or router.db_for_write(self.model)
        names = [field.attname for field in self.model._meta.concrete_fields]
        sql = f"SELECT {', '.join(names)} FROM {self.model._meta.db_table} WHERE slug = %s"  # noqa: S608 - names of columns
        with connections[using].cursor() as cursor:
            cursor.execute(sql, [DEFAULT_SLUG])
            row = cursor.fetchone()
        return None if row is None else self.model.from_db(using, names, row)


class Cluster(models.Model):
    """A tenant: an estate, a hospital, a vehicle. Used unless the host names a model of its own."""

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


def cluster_model() -> type[models.Model]:
    """The model that ``NOTIFICATIONS_CLUSTER_MODEL`` names."""
    return apps.get_model(settings.NOTIFICATIONS_CLUSTER_MODEL, require_ready=False)


def members_of(cluster: Cluster) -> models.QuerySet[Any]:
    """The default of ``MEMBERS_OF``: all active users of an open cluster, else those listed in it."""
    if not isinstance(cluster, Cluster):
        raise InvalidCluster(
            f"Klaxon cannot know the members of a {type(cluster).__name__}. Set NOTIFICATIONS['MEMBERS_OF'] to the "
            "dotted path of a callable that takes the cluster and returns a queryset of users."
        )
    if not cluster.open_to_all:
        return cluster.members.all()
    users = get_user_model()
    everyone = users._default_manager.all()
    # Where users have no such column all are active, as Django has it.
    return everyone if getattr_static(users, "is_active", None) is True else everyone.filter(is_active=True)


def builtin_membership_condition(cluster: Any, key: str, is_active: str, using: str) -> tuple[str, list[Any]] | None:
    """What :func:`members_of` says, as a condition on a user's primary key; None where ``MEMBERS_OF`` is the host's.

    A send asks it for each user, and Django would take longer to compose it than the database to answer.

    :param is_active: SQL for whether the user is active.
    """
    if conf.current().members_of != conf.Conf.members_of or not isinstance(cluster, Cluster):
        return None
    if cluster.open_to_all:
        return is_active, []
    listed: Any = Cluster._meta.get_field("members")
    quoted = connections[using].ops.quote_name
    table, user = quoted(listed.m2m_db_table()), quoted(listed.m2m_reverse_name())
    return f"EXISTS (SELECT 1 FROM {table} WHERE cluster_id = %s AND {user} = {key})", [cluster.pk]  # noqa: S608 - only names of tables and columns


def given_or_default(cluster: Any) -> Any:
    """The cluster itself; for ``None`` the default one of a site that keeps Klaxon's own model.

    :raises InvalidCluster: if there is no default, because the site has a cluster model of its own.
    """
    if cluster is not None:
        # One that the host has read from a replica may say otherwise by now.
        return reload_from_primary(cluster) or cluster
    if cluster_model() is not Cluster:
        raise InvalidCluster(f"cluster must be a {cluster_model().__name__}, not None.")
    return Cluster.objects.default()


def membership(cluster: Any) -> models.QuerySet[Any]:
    """The members of a cluster (of the default one for ``None``), as the host's ``MEMBERS_OF`` defines them.

    :raises InvalidCluster: if what that returns cannot be asked who of a chunk is a member.
    """
    members = import_string(conf.current().members_of)(given_or_default(cluster))
    if not isinstance(members, models.QuerySet) or members.query.combinator or members.query.is_sliced:
        raise InvalidCluster(
            f"NOTIFICATIONS['MEMBERS_OF'] returned {_kind_of(members)} for {cluster!r:.80}. It must return a queryset "
            "of users that can be filtered: join two by | or by Q(…) | Q(…), and take no part of one."
        )
    return members


def _kind_of(members: Any) -> str:
    if not isinstance(members, models.QuerySet):
        return f"a {type(members).__name__}"
    return f"the result of {members.query.combinator}()" if members.query.combinator else "a slice"
