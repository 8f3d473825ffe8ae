"""The source of preferences: Klaxon's tables, or those of a host through the class that ``PREFERENCES`` names."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from notifications import conf
from notifications.models import Mute, SharedPreference, UserSettings
from notifications.storage.engine import array_subquery


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """The preferences of one user.

    :param settings: the settings of the user; the instance need not be saved.
    :param shared: the preferences of the user's roles and of the cluster, in any order.
    :param mutes: the mutes of the user, including those that have ended.
    """

    settings: UserSettings | None = None
    shared: Sequence[SharedPreference] = ()
    mutes: Sequence[Mute] = ()


class PreferenceSource(Protocol):
    """The interface of the class that ``PREFERENCES`` names.

    It is instantiated without arguments for each chunk of recipients. If it has a method ``set_wanted(cluster, user,
    scope, name, channel, wanted)``, the link in emails calls it to turn something off or on.
    """

    def load(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
        """Return the preferences of these users in this cluster, by primary key.

        Users without preferences may be missing. The method is called once for each chunk of recipients and once for
        each batch that a worker sends. It must not write to the database, and must use the same number of queries for
        a thousand users as for one. ``send()`` does not catch its errors.
        """
        ...


class DatabasePreferenceSource:
    """The default source, which uses three queries. A subclass can override single methods."""

    def load(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
        """Return the preferences of these users in this cluster, by primary key."""
        settings, shared = self.settings_of(cluster, user_ids), self.shared_by(cluster, user_ids)
        mutes, preferences = self.mutes_of(cluster, user_ids), {}
        for pk in user_ids:
            preferences[pk] = UserPreferences(settings.get(pk), shared.get(pk, ()), mutes.get(pk, ()))
        return preferences

    def settings_of(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserSettings]:
        """Return the settings of these users in this cluster, by primary key."""
        settings = {}
        for row in _filter_rows(UserSettings, cluster, user_ids):
            settings[row.user_id] = row
        return settings

    def shared_by(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, Sequence[SharedPreference]]:
        """Return the preferences of the roles of these users and of the cluster, by primary key of the user."""
        return SharedPreference.objects.load_for_users(cluster, user_ids)

    def mutes_of(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, Sequence[Mute]]:
        """Return the mutes of these users in this cluster, by primary key of the user."""
        mutes = defaultdict(list)
        for row in _filter_rows(Mute, cluster, user_ids).order_by("pk"):
            mutes[row.user_id].append(row)
        return mutes


def _filter_rows(model: Any, cluster: Any, user_ids: Collection[Any]) -> QuerySet[Any]:
    rows = model.objects.filter(cluster=cluster)
    return rows.filter(user__in=array_subquery(user_ids, get_user_model()._meta.pk, rows.db))


def make_preference_source() -> PreferenceSource:
    """Return a new instance of the class that ``PREFERENCES`` names."""
    source: PreferenceSource = import_string(conf.current().preferences)()
    return source


def load_preferences(cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
    """Return the preferences of these users.

    They are read at each call, so a change by any process affects the next ``send()``.
    """
    return make_preference_source().load(cluster, user_ids)
