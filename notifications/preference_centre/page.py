"""What the page of an owner shows. Each part is loaded once."""

from copy import copy
from functools import cached_property
from typing import Any

from notifications.mail import get_theme
from notifications.models import UserSettings
from notifications.preference_centre.addresses import AddressRow, list_addresses
from notifications.preference_centre.forecast import Forecast
from notifications.preference_centre.matrix import Matrix
from notifications.preference_centre.mutes import MuteForm, MuteRow, list_mutes
from notifications.preference_centre.owner import Owner, Standing, keeps_settings_here, load_standing
from notifications.preference_centre.schedule import ScheduleForm
from notifications.preference_centre.topics import TopicRow, list_mutable_topics, list_topics


class Page:
    """The preferences of an owner, and what a form that was just sent adds to them.

    :ivar preview: the standing after a change that is not saved yet; None if there is none.
    :ivar forecast: what this change does to the notifications that wait.
    :ivar entered: the forms that were sent and have errors or a preview, by section.
    :ivar error: why the last action of a section was refused, by section.
    """

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.preview: Standing | None = None
        self.previewed_section = ""
        self.forecast: Forecast | None = None
        self.entered: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    @cached_property
    def is_editable(self) -> bool:
        """Whether the settings are in Klaxon's tables."""
        return keeps_settings_here()

    @cached_property
    def standing(self) -> Standing:
        return load_standing(self.owner)

    @cached_property
    def matrix(self) -> Matrix:
        """The matrix, with the choices of the preview if there is one."""
        return Matrix(self.owner, self.preview or self.standing, self.standing.settings)

    def build_stored_matrix(self) -> Matrix:
        """Return the matrix with the choices as they are stored."""
        return Matrix(self.owner, self.standing, self.standing.settings)

    @cached_property
    def schedule(self) -> ScheduleForm:
        return self.entered.get("schedule") or ScheduleForm(self.owner, self.copy_settings())

    @cached_property
    def addresses(self) -> list[AddressRow]:
        return list_addresses(self.owner, self.standing)

    @cached_property
    def topics(self) -> list[TopicRow]:
        return list_topics(self.owner)

    @cached_property
    def mutes(self) -> list[MuteRow]:
        return list_mutes(self.standing)

    @cached_property
    def mute_form(self) -> MuteForm:
        return self.entered.get("mutes") or self.build_mute_form()

    def build_mute_form(self, data: Any = None) -> MuteForm:
        """Return the form for a new mute."""
        return MuteForm(self.owner, self.standing, list_mutable_topics(self.owner, self.topics), data)

    def copy_settings(self) -> UserSettings:
        """Return a copy of the owner's settings that can be changed without a trace, or new ones."""
        stored = self.standing.settings
        return copy(stored) if stored else UserSettings(user=self.owner.user, cluster=self.owner.cluster)

    @cached_property
    def sender(self) -> str:
        """The name of the site or cluster in emails."""
        return get_theme(self.owner.cluster).name
