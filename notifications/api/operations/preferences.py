"""The preferences of the caller in a cluster, the channels of the site, and topics."""

from collections.abc import Callable
from datetime import time
from typing import Annotated, Any, Literal

from django.db import router as databases
from django.db import transaction
from django.http import Http404, HttpRequest
from django.urls import NoReverseMatch, reverse
from ninja import Path, Router
from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr

from notifications import conf
from notifications.api.auth import Requires, get_caller
from notifications.api.clusters import choose_cluster
from notifications.api.operations.schemas import Body, ClusterKey, ClusterQuery, Whole, make_config
from notifications.api.problems import Problem
from notifications.mail import get_theme
from notifications.models import APIScope, Pause, UserSettings
from notifications.models.pause import EVERYTHING
from notifications.models.preferences import normalize_keys
from notifications.models.validation import find_address_kind
from notifications.preference_centre.addresses import remove_address, request_address
from notifications.preference_centre.owner import Owner, keeps_settings_here, lock_settings
from notifications.preference_centre.topics import follow_topic, list_topics
from notifications.preference_centre.widgets.names import get_channel_name
from notifications.recipients import Topic
from notifications.unsubscribe.changes import repeat_once

router = Router(tags=["preferences"])
READ, WRITE = Requires(APIScope.PREFERENCES_READ), Requires(APIScope.PREFERENCES_WRITE)
CHANGE_ADDRESS = Requires(APIScope.ADDRESSES)
ChannelName = Annotated[str, Path(..., min_length=1, max_length=50, example="email")]
Switches = dict[StrictStr, StrictBool]
Choices = dict[StrictStr, StrictBool | Switches]
Span = Annotated[list[Any], Field(min_length=2, max_length=3)]


def _check_time_of_day(value: Any) -> Any:
    if value is None:
        return None
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise ValueError("write a time of day such as 22:00")
    return found


TimeOfDay = Annotated[
    time | None,
    BeforeValidator(_check_time_of_day),
    Field(json_schema_extra={"anyOf": [{"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}, {"type": "null"}]}),
]
COLUMNS = (
    *("channels", "events", "categories", "quiet_from", "quiet_until", "delivery_windows"),
    *("digest", "digest_hour", "digest_day", "time_zone", "language"),
)
PREFERENCES: dict[str, Any] = {
    "channels": {"email": True},
    "events": {"order_shipped": {"email": False}},
    "categories": {},
    "quiet_from": "22:00",
    "quiet_until": "07:00",
    "delivery_windows": {"email": [["08:00", "18:00", ["mon", "tue"]]]},
    "digest": "daily",
    "digest_hour": 8,
    "digest_day": 0,
    "time_zone": "Europe/Berlin",
    "language": "de",
}


class Wishes(Body):
    """What a user wants. What is not mentioned has its default."""

    model_config = make_config(PREFERENCES, extra="forbid")

    channels: Switches = Field(default={}, description="Whether a channel is on, for all events.")
    events: Choices = Field(default={}, description="Whether an event is on, for all channels or by channel.")
    categories: Choices = Field(default={}, description="The same for a category of events.")
    quiet_from: TimeOfDay = None
    quiet_until: TimeOfDay = None
    delivery_windows: dict[StrictStr, list[Span]] = Field(
        default={}, description="By channel, spans of two times of day, with a list of weekdays."
    )
    digest: Literal["none", "daily", "weekly"] = "none"
    digest_hour: Annotated[int, Field(ge=0, le=23), Whole] = 8
    digest_day: Annotated[int, Field(ge=0, le=6, description="Monday is 0."), Whole] = 0
    time_zone: Annotated[StrictStr, Field(max_length=64)] = ""
    language: Annotated[StrictStr, Field(max_length=20)] = ""


class Preferences(BaseModel):
    """The preferences of a user in a cluster."""

    model_config = make_config(
        {"cluster": "1", **PREFERENCES, "addresses": {"email": "me@example.com"}, "is_editable": True}
    )

    cluster: str
    channels: dict[str, Any]
    events: dict[str, Any]
    categories: dict[str, Any]
    quiet_from: str | None
    quiet_until: str | None
    delivery_windows: dict[str, Any]
    digest: str
    digest_hour: int
    digest_day: int
    time_zone: str
    language: str
    addresses: dict[str, str] = Field(description="The own addresses by channel.")
    is_editable: bool = Field(description="False if the site keeps preferences in tables of its own.")


class Switch(Body):
    """Whether a channel is on."""

    model_config = make_config({"is_on": False}, extra="forbid")

    is_on: StrictBool


class NewAddress(Body):
    """An address for a channel."""

    model_config = make_config({"address": "me@example.com"}, extra="forbid")

    address: Annotated[StrictStr, Field(min_length=1, max_length=500)]


class Requested(BaseModel):
    """A new address that waits for its confirmation."""

    model_config = make_config({"is_confirmation_sent": True, "detail": ""})

    is_confirmation_sent: bool
    detail: str = Field(description="Why no confirmation could be sent.")


class Channel(BaseModel):
    """A channel of the site."""

    name: str
    label: str
    address_kind: str = Field(description="`email`, `phone`, …; `user` for an account; empty for no address.")
    is_paused: bool


class Channels(BaseModel):
    """The enabled channels."""

    model_config = make_config(
        {"items": [{"name": "email", "label": "Email", "address_kind": "email", "is_paused": False}]}
    )

    items: list[Channel]


class TopicState(BaseModel):
    """A topic that the caller follows or can follow."""

    key: str
    label: str
    is_followed: bool


class Topics(BaseModel):
    """Topics, in the order of their labels."""

    model_config = make_config({"items": [{"key": "road works", "label": "Road works", "is_followed": True}]})

    items: list[TopicState]


class TopicChoice(Body):
    """A topic."""

    model_config = make_config({"topic": "road works"}, extra="forbid")

    topic: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    cluster: ClusterKey = None


def _get_owner(request: HttpRequest, cluster: str | None) -> Owner:
    caller = get_caller(request)
    return Owner.signed_in(caller.user, choose_cluster(caller, cluster))


def _load(owner: Owner) -> UserSettings:
    names = {"user": owner.user, "cluster": owner.cluster}
    return UserSettings.objects.filter(**names).first() or UserSettings(**names)


def _describe(settings: UserSettings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in COLUMNS}
    for name in ("channels", "events", "categories", "delivery_windows"):
        values[name] = normalize_keys(values[name])
    for name in ("quiet_from", "quiet_until"):
        values[name] = values[name] and f"{values[name]:%H:%M}"
    addresses = normalize_keys(settings.addresses)
    return {
        "cluster": str(settings.cluster_id),
        **values,
        "addresses": {name: str(address) for name, address in addresses.items() if address},
        "is_editable": keeps_settings_here(),
    }


def _require_editable() -> None:
    if not keeps_settings_here():
        raise Problem("conflict", "The site keeps preferences in tables of its own. They cannot be changed here.")


def _save(owner: Owner, change: Callable[[UserSettings], None]) -> dict[str, Any]:
    """Change the settings of an owner, and return them.

    :raises ValidationError: if they are not valid then.
    """
    _require_editable()
    using = databases.db_for_write(UserSettings)

    def write() -> None:
        settings = lock_settings(owner, using)
        change(settings)
        settings.full_clean(validate_unique=False, validate_constraints=False)
        settings.save(using=using, by=owner.user)

    with transaction.atomic(using=using):
        repeat_once(write, using)
    return _describe(_load(owner))


def _set_values(settings: UserSettings, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


@router.get(
    "/preferences", auth=READ, response=Preferences, operation_id="getPreferences", summary="Get the preferences"
)
def get_preferences(request: HttpRequest, cluster: ClusterQuery = None) -> Any:
    """Return what the caller has chosen in a cluster. Roles, the cluster and defaults decide everything else."""
    return _describe(_load(_get_owner(request, cluster)))


@router.put(
    "/preferences", auth=WRITE, response=Preferences, operation_id="putPreferences", summary="Replace the preferences"
)
def put_preferences(request: HttpRequest, body: Wishes, cluster: ClusterQuery = None) -> Any:
    """Replace all choices. What the body does not mention gets its default. Addresses stay unchanged."""
    values = body.model_dump()
    return _save(_get_owner(request, cluster), lambda settings: _set_values(settings, values))


@router.patch(
    "/preferences", auth=WRITE, response=Preferences, operation_id="patchPreferences", summary="Change the preferences"
)
def patch_preferences(request: HttpRequest, body: Wishes, cluster: ClusterQuery = None) -> Any:
    """Replace those fields that the body mentions, each as a whole."""
    values = body.model_dump(exclude_unset=True)
    return _save(_get_owner(request, cluster), lambda settings: _set_values(settings, values))


@router.put(
    "/preferences/channels/{channel}",
    auth=WRITE,
    response=Preferences,
    operation_id="putChannel",
    summary="Turn a channel on or off",
)
def put_channel(request: HttpRequest, channel: ChannelName, body: Switch, cluster: ClusterQuery = None) -> Any:
    """Turn a channel on or off for all events."""
    owner = _get_owner(request, cluster)
    _require_channel(owner, channel)
    return _save(owner, lambda settings: settings.set_channel(channel, body.is_on))


@router.delete(
    "/preferences/channels/{channel}",
    auth=WRITE,
    response=Preferences,
    operation_id="deleteChannel",
    summary="Forget the choice for a channel",
)
def delete_channel(request: HttpRequest, channel: ChannelName, cluster: ClusterQuery = None) -> Any:
    """Forget whether the channel is on, so that roles, the cluster and defaults decide."""
    owner = _get_owner(request, cluster)
    _require_channel(owner, channel)
    return _save(owner, lambda settings: _forget_channel(settings, channel))


def _forget_channel(settings: UserSettings, channel: str) -> None:
    stored = normalize_keys(settings.channels)
    settings.channels = {name: is_on for name, is_on in stored.items() if name != channel}


def _require_channel(owner: Owner, channel: str) -> None:
    if channel not in owner.channels:
        raise Http404


@router.put(
    "/preferences/addresses/{channel}",
    auth=CHANGE_ADDRESS,
    response={202: Requested},
    operation_id="putAddress",
    summary="Ask for a new address",
)
def put_address(request: HttpRequest, channel: ChannelName, body: NewAddress, cluster: ClusterQuery = None) -> Any:
    """Send a link to an address, which is used after somebody has opened the link and confirmed it."""
    _require_editable()
    owner = _get_owner(request, cluster)
    if channel not in owner.channels or find_address_kind(channel) in ("", "user"):
        raise Http404
    refusal = request_address(owner, channel, body.address, _build_link_maker(request, owner))
    return {"is_confirmation_sent": not refusal, "detail": refusal}


def _build_link_maker(request: HttpRequest, owner: Owner) -> Callable[[str], str]:
    def make(token: str) -> str:
        try:
            path = reverse("notifications:confirm-address", args=[token])
        except NoReverseMatch as error:
            raise Problem("conflict", "The site does not include the page that confirms an address.") from error
        base_url = get_theme(owner.cluster).base_url
        return f"{base_url}{path}" if base_url else request.build_absolute_uri(path)

    return make


@router.delete(
    "/preferences/addresses/{channel}",
    auth=CHANGE_ADDRESS,
    response=Preferences,
    operation_id="deleteAddress",
    summary="Remove an own address",
)
def delete_address(request: HttpRequest, channel: ChannelName, cluster: ClusterQuery = None) -> Any:
    """Remove the own address for a channel, so that the address of the account is used."""
    _require_editable()
    owner = _get_owner(request, cluster)
    _require_channel(owner, channel)
    remove_address(owner, channel)
    return _describe(_load(owner))


@router.get("/channels", auth=READ, response=Channels, operation_id="listChannels", summary="List the channels")
def list_channels(request: HttpRequest) -> Any:
    """Return the enabled channels of the site."""
    paused = Pause.objects.channel_names()
    return {
        "items": [
            {
                "name": name,
                "label": get_channel_name(name),
                "address_kind": find_address_kind(name) or "",
                "is_paused": name in paused or EVERYTHING in paused,
            }
            for name in sorted(conf.current().enabled_channels)
        ]
    }


@router.get("/topics", auth=READ, response=Topics, operation_id="listTopics", summary="List the topics")
def list_all_topics(request: HttpRequest, cluster: ClusterQuery = None) -> Any:
    """Return the topics that the caller follows, and those that the site offers."""
    return {"items": [row._asdict() for row in list_topics(_get_owner(request, cluster))]}


@router.post("/topics/subscribe", auth=WRITE, response=Topics, operation_id="subscribe", summary="Subscribe to a topic")
def subscribe(request: HttpRequest, body: TopicChoice) -> Any:
    """Subscribe to a topic that the site offers. A second time changes nothing."""
    return _follow(request, body, is_wanted=True)


@router.post(
    "/topics/unsubscribe", auth=WRITE, response=Topics, operation_id="unsubscribe", summary="Unsubscribe from a topic"
)
def unsubscribe(request: HttpRequest, body: TopicChoice) -> Any:
    """End a subscription. If there is none, the answer is 404."""
    return _follow(request, body, is_wanted=False)


def _follow(request: HttpRequest, body: TopicChoice, is_wanted: bool) -> Any:
    owner = _get_owner(request, body.cluster)
    if not follow_topic(owner, Topic(body.topic).key, is_wanted):
        raise Http404
    return {"items": [row._asdict() for row in list_topics(owner)]}
