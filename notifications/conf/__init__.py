"""The ``NOTIFICATIONS`` setting as a typed object, read at call time.

``current()`` returns the values. ``problems()`` yields what is wrong with them, for the system checks. The classes of
channels that the setting names are found here too. Delivering instantiates them; sending reads only the attributes that
a class declares, such as the kind of address.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from os import PathLike
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from notifications.conf.alarm import ALARM_KEYS, LIMITS, find_alarm_problems
from notifications.conf.api import API_KEYS, find_api_problems
from notifications.conf.channels import ChannelConf, find_channel_problems, find_digest_problems, read_channels
from notifications.conf.limits import find_limit_problems
from notifications.conf.metrics import LATENCY, METRICS_KEYS, find_metrics_problems
from notifications.conf.misplaced import find_misplaced
from notifications.conf.problem import (
    Problem,
    has_type,
    is_absolute,
    is_at_least_one,
    is_dict_of_texts,
    is_dict_of_texts_or_lists,
    is_dict_with_text_keys,
    is_list_of_keys,
    is_list_of_texts,
    is_not_negative,
    is_paths,
    is_permission,
    is_positive,
    is_rate,
    is_redis_url,
    is_site_address,
    is_time_span,
    suggest,
)
from notifications.conf.retention import (
    RETENTION_KEYS,
    STORAGE_KEYS,
    find_retention_problems,
    find_storage_problems,
)
from notifications.conf.theme import find_theme_problems
from notifications.delays import DELAYS_HINT, find_delays_fault, parse_delays
from notifications.exceptions import ChannelNotConfigured

logger = logging.getLogger("notifications")

OFF_MESSAGE = "NOTIFICATIONS['ENABLED'] is False: nothing is queued or delivered. Queued deliveries wait."


def option(
    default: Any,
    allowed: Any,
    env: str,
    requirement: str,
    is_valid: Callable[[Any], bool] = lambda value: True,
    is_secret: bool = False,
) -> Any:
    """Declare a key of the setting.

    :param default: the default, or a callable that returns it.
    :param allowed: the type or types of the value.
    :param env: the caster of django-environ.
    :param requirement: what the value must be, for the hint of the check.
    :param is_valid: whether a value of an allowed type is valid.
    :param is_secret: whether no message may contain the value.
    """
    metadata = {
        "allowed": allowed,
        "env": env,
        "requirement": requirement,
        "is_valid": is_valid,
        "is_secret": is_secret,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not is_secret)
    return field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True)
class Conf:
    """The ``NOTIFICATIONS`` setting. Field names are the keys in lower case; times are in seconds."""

    enabled: bool = option(True, bool, "bool", "True or False")
    channels: Mapping[str, Any] = option(dict, Mapping, "json", "a dict of channel name to a dict of its settings")
    delivery: str = option(
        "queued", str, "str", 'either "queued" or "immediate"', lambda value: value in ("queued", "immediate")
    )
    members_of: str = option(
        "notifications.models.cluster.members_of", str, "str", "the dotted path of a callable(cluster) -> QuerySet"
    )
    message_recipients: str = option(
        "", str, "str", "the name of a group, or the dotted path of a callable(cluster) that returns recipients"
    )
    critical_message_permission: str = option(
        "", str, "str", 'a permission such as "app_label.codename", or empty for none', is_permission
    )
    preferences: str = option(
        "notifications.preferences.DatabasePreferenceSource",
        str,
        "str",
        "the dotted path of a class with load(cluster, user_ids)",
    )
    base_url: str = option("", str, "str", 'the address of your site, such as "https://example.com"', is_site_address)
    theme: Mapping[str, Any] = option(dict, Mapping, "json", 'a dict such as {"color": "#003366"}')
    theme_of: str = option(
        "", str, "str", "the dotted path of a callable(cluster, event) that returns a dict, or empty"
    )
    tracking_url: str = option(
        "", str, "str", 'the address that tracked links begin with, such as "https://t.example.com"', is_site_address
    )
    escalation_targets: Mapping[str, Any] = option(
        dict,
        Mapping,
        "json",
        'a dict of names to targets, such as {"supervisor": "role:Supervisors"}; a list for several',
        is_dict_of_texts_or_lists,
    )
    operators: tuple[str, ...] = option(
        (),
        (str, list, tuple),
        "texts",
        'a target such as "role:Operators", or a list of these',
        lambda value: isinstance(value, str) or is_list_of_texts(value),
    )
    alarm: Mapping[str, Any] = option(
        dict, Mapping, "json", 'a dict such as {"HOOK": "https://hooks.example.com/klaxon"}', is_secret=True
    )
    address_fields: Mapping[str, str] = option(
        dict, Mapping, "dict", 'a dict such as {"phone": "phone_number"}', is_dict_of_texts
    )
    retry_delays: tuple[float, ...] = option((60, 300, 900), (list, tuple, str), "delays", DELAYS_HINT)
    retry_jitter: float = option(
        0.1, (int, float), "float", "a fraction between 0 and 1", lambda value: 0 <= value <= 1
    )
    chunk_size: int = option(1000, int, "int", "a whole number of at least 1", is_at_least_one)
    batch_size: int = option(10, int, "int", "a whole number of at least 1", is_at_least_one)
    max_batch_size: int = option(1000, int, "int", "a whole number of at least 1", is_at_least_one)
    workers: int = option(2, int, "int", "a whole number of at least 1", is_at_least_one)
    lease_seconds: float = option(30, (int, float), "float", "a number of seconds, at least 1", is_at_least_one)
    beat_seconds: float = option(
        5, (int, float), "float", "a number of seconds, a third of LEASE_SECONDS at most", is_positive
    )
    idle_seconds: float = option(1.0, (int, float), "float", "a number of seconds above 0", is_positive)
    error_pause_seconds: float = option(5.0, (int, float), "float", "a number of seconds above 0", is_positive)
    on_bad_call: str = option("raise", str, "str", 'either "raise" or "log"', lambda value: value in ("raise", "log"))
    context_bytes: int = option(262_144, int, "int", "a whole number of bytes of at least 1", is_at_least_one)
    attachment_bytes: int = option(10_485_760, int, "int", "a whole number of bytes of at least 1", is_at_least_one)
    queue_limit: int = option(0, int, "int", "a whole number; 0 for no limit", is_not_negative)
    cluster_queue_limit: int = option(0, int, "int", "a whole number; 0 for no limit", is_not_negative)
    queue_full: str = option(
        "refuse", str, "str", 'either "refuse" or "shed"', lambda value: value in ("refuse", "shed")
    )
    breaker_failures: int = option(5, int, "int", "a whole number of at least 1", is_at_least_one)
    breaker_seconds: float = option(60, (int, float), "float", "a number of seconds above 0", is_positive)
    breaker_most_seconds: float = option(300, (int, float), "float", "a number of seconds above 0", is_positive)
    outage_seconds: float = option(259_200, (int, float), "float", "a number of seconds, 0 or more", is_not_negative)
    stop_seconds: float = option(10, (int, float), "float", "a number of seconds, 0 or more", is_not_negative)
    state_dir: str | PathLike[str] = option(
        "",
        (str, PathLike),
        "str",
        "the absolute path of a folder, or empty for one in the folder for temporary files",
        is_absolute,
    )
    ramp_seconds: float = option(60, (int, float), "float", "a number of seconds; 0 for no ramp", is_not_negative)
    ramp_start: float = option(10, (int, float), "float", "a number of messages a second above 0", is_positive)
    limits: Mapping[str, Any] = option(dict, Mapping, "json", 'a dict such as {"user": "100/h"}')
    critical_limit: str = option("1000/h", str, "str", 'a rate such as "1000/h"', is_rate)
    throttle_depth: int = option(0, int, "int", "a whole number; 0 for no throttling", is_not_negative)
    quiet_hours: tuple[str, ...] = option(
        (), (list, tuple), "texts", 'two times of day such as ["22:00", "07:00"], or empty for none', is_time_span
    )
    digest_channels: tuple[str, ...] = option(
        ("email",), (list, tuple), "texts", "a list of channel names", is_list_of_texts
    )
    digest_sections: str = option("", str, "str", "the dotted path of a callable that provides sections of digests")
    inbox_of_former_members: bool = option(False, bool, "bool", "True or False")
    live_redis: str = option(
        "", str, "str", "a URL such as redis://127.0.0.1:6379/0, or empty", is_redis_url, is_secret=True
    )
    topics_of: str = option(
        "", str, "str", "the dotted path of a callable(cluster, user) that returns topics, or empty"
    )
    encryption_keys: tuple[str, ...] = option(
        (), (list, tuple), "texts", "a list of keys that Fernet.generate_key() returns", is_list_of_keys, is_secret=True
    )
    magic_links: bool = option(False, bool, "bool", "True or False")
    magic_link_seconds: float = option(900, (int, float), "float", "a number of seconds above 0", is_positive)
    metrics: Mapping[str, Any] = option(
        dict, Mapping, "json", 'a dict such as {"TOKEN": "…"}', is_dict_with_text_keys, is_secret=True
    )
    celery: bool = option(False, bool, "bool", "True or False")
    task_backend: str = option("", str, "str", "the name of a backend in Django's setting TASKS, or empty")
    spool_dir: str | PathLike[str] = option(
        "", (str, PathLike), "str", "the absolute path of a folder, or empty for no spool", is_absolute
    )
    api: Mapping[str, Any] = option(dict, Mapping, "json", 'a dict such as {"THROTTLE": "600/m"}')
    tracing: bool = option(False, bool, "bool", "True or False")
    can_bus: Mapping[str, Any] = option(
        dict,
        Mapping,
        "json",
        'a dict of python-can\'s options of a bus, such as {"interface": "socketcan", "channel": "can0"}',
        is_dict_with_text_keys,
    )
    can_rules: tuple[str | PathLike[str], ...] = option(
        (), (str, PathLike, list, tuple), "texts", "the absolute path of a rule file, or a list of these", is_paths
    )

    retention: Mapping[str, Any] = option(dict, Mapping, "json", 'a dict of ages in days, such as {"LOG": 180}')
    storage: Mapping[str, Any] = option(dict, Mapping, "json", 'a dict such as {"LIMIT_BYTES": 10000000000}')

    def channel(self, name: str) -> ChannelConf | None:
        """Return the settings of a channel, or None if it is not configured or not enabled."""
        channel = _get_channels().get(name)
        return channel if channel and channel.enabled else None

    def limit(self, name: str, channel: str = "") -> str | None:
        """Return the rate that ``LIMITS`` sets under this name, for this channel if each has its own, or None."""
        limit = self.limits.get(name)
        if isinstance(limit, Mapping):
            return {key.lower(): text for key, text in limit.items()}.get(channel)
        return limit

    def get_alarm_option(self, name: str) -> Any:
        """Return the value of a key of ``ALARM``, or its default."""
        return self.alarm.get(name, ALARM_KEYS[name][0])

    def get_alarm_limit(self, name: str) -> float:
        """Return a limit of ``ALARM["LIMITS"]``, or its default."""
        return self.get_alarm_option("LIMITS").get(name, LIMITS[name])

    def get_api_option(self, name: str) -> Any:
        """Return the value of a key of ``API``, or its default."""
        return self.api.get(name, API_KEYS[name][0])

    def get_metrics_option(self, name: str) -> Any:
        """Return the value of a key of ``METRICS``, or its default."""
        return self.metrics.get(name, METRICS_KEYS[name][0])

    def get_latency_limits(self) -> dict[str, float]:
        """Return for each band the seconds within which its deliveries are sent when all is well."""
        return {**LATENCY, **self.get_metrics_option("LATENCY")}

    def get_retention(self, name: str) -> Any:
        """Return the value of a key of ``RETENTION``, or its default."""
        return self.retention.get(name, RETENTION_KEYS[name][0])

    def get_storage_option(self, name: str) -> Any:
        """Return the value of a key of ``STORAGE``, or its default."""
        return self.storage.get(name, STORAGE_KEYS[name][0])

    @property
    def all_channels(self) -> frozenset[str]:
        """The names of all channels of the site, including the disabled ones."""
        return frozenset(_get_channels())

    @cached_property
    def enabled_channels(self) -> frozenset[str]:
        """The names of the enabled channels."""
        return frozenset(name for name, channel in _get_channels().items() if channel.enabled)


PROBLEM_FINDERS: Mapping[str, Callable[[Any], Iterator[Problem]]] = {
    "ALARM": find_alarm_problems,
    "API": find_api_problems,
    "CHANNELS": find_channel_problems,
    "METRICS": find_metrics_problems,
    "RETENTION": find_retention_problems,
    "STORAGE": find_storage_problems,
    "THEME": lambda theme: find_theme_problems(theme, "NOTIFICATIONS['THEME']"),
}
KEYS = {item.name.upper(): item for item in fields(Conf)}


@cache
def current() -> Conf:
    """Return the current settings.

    :raises ImproperlyConfigured: if there is any problem. The message lists all problems, as ``manage.py check`` does.
    """
    raw = _get_raw_setting()
    all_problems = list(problems())
    if all_problems:
        raise ImproperlyConfigured(" ".join(f"{problem.message} {problem.hint}" for problem in all_problems))
    return Conf(**{key.lower(): _convert(key, value) for key, value in raw.items()})


def _convert(key: str, value: Any) -> Any:
    if key == "RETRY_DELAYS":
        return parse_delays(value)
    if key in ("CAN_RULES", "OPERATORS") and isinstance(value, str | PathLike):
        return (value,) if str(value) else ()
    return tuple(value) if isinstance(value, list) else value


@cache
def _get_channels() -> dict[str, ChannelConf]:
    return read_channels(current().channels)


def is_off() -> bool:
    """Return whether Klaxon is switched off. If it is, the first call in each process logs a warning."""
    if current().enabled:
        return False
    _log_warning_once()
    return True


@cache
def _log_warning_once() -> None:
    logger.warning(OFF_MESSAGE)


def get_channel_conf(name: str) -> ChannelConf:
    """Return the settings of a channel.

    :raises ChannelNotConfigured: if the settings do not have the channel, or it is disabled.
    """
    channel = current().channel(name)
    if channel is None:
        raise ChannelNotConfigured(
            f"The channel {name!r} is not configured. Add it to NOTIFICATIONS['CHANNELS'], or set its ENABLED to True."
        )
    return channel


@cache
def get_channel_class(name: str) -> type[Any]:
    """Return the class of a configured channel.

    :raises ChannelNotConfigured: if the settings do not have the channel, or it is disabled.
    """
    return import_string(get_channel_conf(name).backend)


def get_address_kind(name: str) -> str:
    """Return the kind of address that a channel sends to.

    It is ``"email"``, ``"phone"``, …, ``"user"`` for a user account or ``""`` for no address.
    """
    return get_channel_class(name).address_kind


def has_subscribers(name: str) -> bool:
    """Return whether a channel sends to subscribers of its own, and not to the recipients of a call."""
    is_enabled = name in current().enabled_channels
    return is_enabled and getattr(get_channel_class(name), "find_subscribers", None) is not None


def get_site_address_kinds() -> frozenset[str]:
    """Return the kinds of addresses that the enabled channels send to."""
    return frozenset(map(get_address_kind, current().enabled_channels)) - {"", "user"}


def _get_raw_setting() -> Any:
    return getattr(settings, "NOTIFICATIONS", {})


def problems() -> Iterator[Problem]:
    """Yield everything that is wrong with the setting."""
    raw = _get_raw_setting()
    if not isinstance(raw, Mapping):
        yield Problem("NOTIFICATIONS must be a dict.", "Write NOTIFICATIONS = {} to use the defaults.")
        return
    for key, value in raw.items():
        yield from _find_key_problems(key, value)
    yield from find_limit_problems(raw)
    yield from find_digest_problems(raw)
    lease, beat = (raw.get(key, getattr(Conf, key.lower())) for key in ("LEASE_SECONDS", "BEAT_SECONDS"))
    first, most = (raw.get(key, getattr(Conf, key.lower())) for key in ("BREAKER_SECONDS", "BREAKER_MOST_SECONDS"))
    if all(isinstance(value, int | float) for value in (first, most)) and 0 < most < first:
        yield Problem(
            f"NOTIFICATIONS['BREAKER_SECONDS'] is {first!r}, BREAKER_MOST_SECONDS {most!r}.",
            "Set BREAKER_MOST_SECONDS, the longest wait, to at least BREAKER_SECONDS, the first wait.",
        )
    if all(isinstance(value, int | float) for value in (lease, beat)) and 1 <= lease < beat * 3:
        yield Problem(
            f"NOTIFICATIONS['BEAT_SECONDS'] is {beat!r}, LEASE_SECONDS {lease!r}.",
            "Set BEAT_SECONDS to at most a third of LEASE_SECONDS. Otherwise, live workers are considered lost.",
        )


def find_misplaced_settings() -> Iterator[Problem]:
    """Yield the settings of the site that seem to be keys of ``NOTIFICATIONS`` but are outside of it."""
    yield from find_misplaced(settings, KEYS)


def _find_key_problems(key: Any, value: Any) -> Iterator[Problem]:
    known = KEYS.get(key)
    if known is None:
        yield Problem(f"NOTIFICATIONS has an unknown key {key!r}.", suggest(key, KEYS))
    elif not has_type(value, known.metadata["allowed"]) or not known.metadata["is_valid"](value):
        shown = "not valid" if known.metadata["is_secret"] else repr(value)
        yield Problem(f"NOTIFICATIONS[{key!r}] is {shown}.", f"It must be {known.metadata['requirement']}.")
    elif key == "RETRY_DELAYS" and (fault := find_delays_fault(value)):
        yield Problem(f"NOTIFICATIONS[{key!r}] is {value!r}.", fault)
    elif key in PROBLEM_FINDERS:
        yield from PROBLEM_FINDERS[key](value)


def from_env(env: Any, prefix: str = "NOTIFICATIONS_") -> dict[str, Any]:
    """Return the setting, read from environment variables with django-environ.

    :param env: an ``environ.Env``. Only variables that are set are used, such as ``NOTIFICATIONS_BATCH_SIZE=50``,
        ``NOTIFICATIONS_RETRY_DELAYS=60,300`` or ``NOTIFICATIONS_CHANNELS={"log": {}}`` (JSON).
    :param prefix: the beginning of the names of the variables.
    :raises ImproperlyConfigured: if a variable cannot be read. The message names it.
    """
    given = {key: item.metadata for key, item in KEYS.items() if prefix + key in env.ENVIRON}
    return {key: _read_variable(env, prefix + key, metadata) for key, metadata in given.items()}


def _read_variable(env: Any, name: str, metadata: Mapping[str, Any]) -> Any:
    try:
        casts = {"delays": _split_delays, "texts": [str]}
        kind = metadata["env"]
        return env(name, cast=casts[kind]) if kind in casts else getattr(env, kind)(name)
    except ValueError as error:
        if metadata["is_secret"]:
            raise ImproperlyConfigured(f"{name} cannot be read. It must be {metadata['requirement']}.") from None
        raise ImproperlyConfigured(f"{name} cannot be read: {error} It must be {metadata['requirement']}.") from error


def _split_delays(text: str) -> Any:
    return text if ":" in text else [float(item) for item in text.split(",") if item]


def _clear_caches(*, setting: str, **kwargs: Any) -> None:
    if setting == "NOTIFICATIONS":
        current.cache_clear()
        _get_channels.cache_clear()
        get_channel_class.cache_clear()


setting_changed.connect(_clear_caches, dispatch_uid="klaxon.conf")
