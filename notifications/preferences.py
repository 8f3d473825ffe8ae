"""Where preferences come from: Klaxon's own tables, or a host's through an adapter (``PREFERENCES``)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from notifications import conf
from notifications.models import Mute, SharedPreference, UserSettings
from notifications.storage.in_array import array_subquery


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """What is known of the wishes of one user.

    :param settings: the user's own; a row that was never saved will do.
    :param shared: those of their roles and of the cluster, in any order.
    :param mutes: what they have muted, also what has ended.
    """

    settings: UserSettings | None = None
    shared: Sequence[SharedPreference] = ()
    mutes: Sequence[Mute] = ()


class PreferenceSource(Protocol):
    """What ``PREFERENCES`` names: a class that is made without arguments for each chunk of recipients."""

    def load(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
        """The wishes of these users in this cluster, by primary key; who is missing has none.

        Asked once for each chunk and once for each batch that a worker sends. It must not write, and take as many
        queries for a thousand users as for one. What it raises, ``send()`` raises.
        """
        ...


class DatabasePreferenceSource:
    """The default, in three queries. A subclass may replace one of the methods and keep the others."""

    def load(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
        settings, shared = self.settings_of(cluster, user_ids), self.shared_by(cluster, user_ids)
        mutes = self.mutes_of(cluster, user_ids)
        return {pk: UserPreferences(settings.get(pk), shared.get(pk, ()), mutes.get(pk, ())) for pk in user_ids}

    def settings_of(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserSettings]:
        return {row.user_id: row for row in _filter_rows(UserSettings, cluster, user_ids)}

    def shared_by(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, Sequence[SharedPreference]]:
        return SharedPreference.objects.load_for_users(cluster, user_ids)

    def mutes_of(self, cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, Sequence[Mute]]:
        mutes = defaultdict(list)
        for row in _filter_rows(Mute, cluster, user_ids).order_by("pk"):
            mutes[row.user_id].append(row)
        return mutes


def _filter_rows(model: Any, cluster: Any, user_ids: Collection[Any]) -> QuerySet[Any]:
    rows = model.objects.filter(cluster=cluster)
    return rows.filter(user__in=array_subquery(user_ids, get_user_model()._meta.pk, rows.db))


def make_preference_source() -> PreferenceSource:
    source: PreferenceSource = import_string(conf.current().preferences)()
    return source


def load_preferences(cluster: Any, user_ids: Collection[Any]) -> Mapping[Any, UserPreferences]:
    """Read anew at each call: what was changed, by whichever process, holds from the next ``send()``."""
    return make_preference_source().load(cluster, user_ids)
