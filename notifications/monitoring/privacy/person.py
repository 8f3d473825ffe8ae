"""A person: a user, an address without an account, or both, and the texts by which the person can be recognised."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from notifications import conf
from notifications.context import decrypt_context, encrypt_context, is_encrypted
from notifications.core.addresses import hash_address, user_key
from notifications.models import Delivery, Device, PushSubscription, UserSettings
from notifications.models.suppression import hash_normalized
from notifications.recipients import Address

MIN_TEXT = 3
"""A shorter text would be found in too many others."""
ERASED = "[erased]"


@dataclass(frozen=True)
class DeletedUser:
    """A user whose account was deleted before."""

    pk: Any

    def get_username(self) -> str:
        return ""


@dataclass
class Person:
    """A person, by everything that identifies rows about them.

    :param user: the account, or None.
    :param addresses: addresses by kind, such as ``("email", "ada@example.com")``, and further ones of deliveries.
    :param texts: further texts that name the person.
    :param others: the addresses of the person that other accounts have too, in lower case, by their primary keys. The
        rows of these accounts are not the person's.
    """

    user: Any = None
    addresses: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    others: dict[Any, set[str]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What may be logged: the recipient key of the user, or that it is an address."""
        return user_key(self.user.pk) if self.user is not None else "an address"

    @cached_property
    def keys(self) -> list[str]:
        """The recipient keys."""
        own = [user_key(self.user.pk)] if self.user is not None else []
        by_kind = {kind: value for kind, value in self.addresses if kind}
        combined = [Address.stored(by_kind).key] if by_kind else []
        single = [Address.stored({kind: value}).key for kind, value in self.addresses if kind]
        return list(dict.fromkeys([*own, *single, *combined]))

    @cached_property
    def values(self) -> list[str]:
        """The addresses, each once."""
        return list(dict.fromkeys(value for _kind, value in self.addresses if value))

    @cached_property
    def own_values(self) -> list[str]:
        """The addresses that no other account has."""
        shared = {value for values in self.others.values() for value in values}
        return [value for value in self.values if value.lower() not in shared]

    @cached_property
    def address_hashes(self) -> list[str]:
        spellings = {spelling for value in self.values for spelling in (value, value.lower())}
        return sorted({hash_address(value) for value in spellings} | {hash_normalized(value) for value in spellings})

    @cached_property
    def needles(self) -> list[str]:
        """The texts to search for, the longest first: addresses of their own, names, and the further ones."""
        names = []
        if self.user is not None:
            full_name = getattr(self.user, "get_full_name", str)()
            names = [self.user.get_username(), full_name]
        in_urls = [quote(value, safe="") for value in self.own_values]
        texts = (*self.own_values, *in_urls, *names, *self.texts)
        found = {text.strip() for text in texts if len(text.strip()) >= MIN_TEXT}
        return sorted(found, key=lambda text: (-len(text), text))

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """Matches the needles in any case, but not within a longer word."""
        if not self.needles:
            return None
        texts = sorted(self.iterate_spellings(), key=len, reverse=True)
        return re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in texts), re.IGNORECASE)

    @cached_property
    def targets(self) -> frozenset[str]:
        """The targets of escalations that are the person, in lower case."""
        names = [self.user.get_username(), self.user.pk] if self.user is not None else []
        users = {f"user:{name}".lower() for name in names if name}
        own = set(self.own_values)
        return frozenset(users | {f"address:{kind}={value}".lower() for kind, value in self.addresses if value in own})

    def is_target(self, target: str) -> bool:
        """Return whether a target of an escalation is the person, or names the person."""
        return target.strip().lower() in self.targets or self.is_named_in(target)

    def is_named_in(self, text: str) -> bool:
        return self.pattern is not None and self.pattern.search(text) is not None

    def scrub(self, value: Any) -> Any:
        """Return a value, as from JSON, in which :data:`ERASED` stands for the person's name and addresses."""
        if isinstance(value, str):
            return self.pattern.sub(ERASED, value) if self.pattern is not None else value
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        if isinstance(value, dict):
            return {self.scrub(key): self.scrub(item) for key, item in value.items()}
        return value

    def scrub_context(self, context: dict[str, Any]) -> dict[str, Any]:
        """Return a stored context without the person, also if it is encrypted.

        :raises KlaxonError: if it is encrypted and cannot be read.
        """
        if not is_encrypted(context):
            return self.scrub(context)
        values = decrypt_context(context)
        # An encrypted text is another one each time, so the stored one stays if nothing changes.
        return context if (scrubbed := self.scrub(values)) == values else encrypt_context(scrubbed)

    def iterate_spellings(self) -> Iterator[str]:
        """Yield the needles as they are in texts, and as JSON of ASCII characters writes them.

        SQLite ignores the case of ASCII letters only, so needles with other letters are also in lower and upper case.
        """
        for needle in self.needles:
            for text in dict.fromkeys([needle] if needle.isascii() else [needle, needle.lower(), needle.upper()]):
                yield text
                if (escaped := json.dumps(text)[1:-1]) != text:
                    yield escaped


def find_person(user: Any = None, addresses: Iterable[tuple[str, str]] = (), texts: Iterable[str] = ()) -> Person:
    """Return a person with all addresses that Klaxon knows of the user.

    :param user: the account, or None.
    :param addresses: further addresses, as pairs of kind and address.
    :param texts: further texts that name the person, such as a maiden name.
    """
    found = [(kind, value.strip()) for kind, value in addresses]
    if user is not None:
        found += _find_addresses(user)
    person = Person(user, list(dict.fromkeys(pair for pair in found if pair[1])), list(texts))
    person.others = _find_others(person)
    return person


def _get_account_fields() -> dict[str, str]:
    """Return the attributes of an account that contain an address, by the kind of the address."""
    return {"email": get_user_model().get_email_field_name(), **conf.current().address_fields}


def _find_others(person: Person) -> dict[Any, set[str]]:
    """Return the addresses of the person that other accounts have too, by the primary keys of these accounts."""
    if not person.values:
        return {}
    model: Any = get_user_model()
    columns = {item.name for item in model._meta.concrete_fields} & set(_get_account_fields().values())
    condition, chosen = Q(pk__in=[]), Q(pk__in=[])
    for value in person.values:
        for column in columns:
            condition |= Q(**{f"{column}__iexact": value})
        for spelling in {value, json.dumps(value)[1:-1]}:
            chosen |= Q(text__icontains=spelling)
    settings = UserSettings.objects.using(router.db_for_write(UserSettings)).order_by()
    settings = settings.annotate(text=Cast("addresses", TextField())).filter(chosen)
    condition |= Q(pk__in=list(settings.values_list("user", flat=True).distinct()))
    users = model._base_manager.using(router.db_for_write(model)).filter(condition)
    if person.user is not None:
        users = users.exclude(pk=person.user.pk)
    own = {value.lower() for value in person.values}
    found = {user.pk: own & {value.lower() for _kind, value in _find_chosen_addresses(user)} for user in users}
    return {pk: values for pk, values in found.items() if values}


def _find_chosen_addresses(user: Any) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a user that are those of the account and of the settings."""
    for kind, name in _get_account_fields().items():
        yield kind, str(getattr(user, name, "") or "")
    for settings in UserSettings.objects.using(router.db_for_write(UserSettings)).filter(user=user):
        for channel, value in (settings.addresses or {}).items():
            yield _get_kind(channel), str(value or "")


def _find_addresses(user: Any) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a user: of the account, of the settings, and those that deliveries have used.

    One that the user has entered and not confirmed can be somebody else's.
    """
    if isinstance(user, DeletedUser):
        return
    yield from _find_chosen_addresses(user)
    for model, column in ((Device, "token"), (PushSubscription, "endpoint")):
        rows: Any = model._base_manager.using(router.db_for_write(model)).filter(user=user)
        for value in rows.values_list(column, flat=True):
            yield "", value
    deliveries = Delivery.objects.using(router.db_for_write(Delivery)).filter(recipient=user).exclude(address="")
    for value in deliveries.order_by().values_list("address", flat=True).distinct():
        yield "", value


def _get_kind(channel: str) -> str:
    return conf.get_address_kind(channel) if channel in conf.current().enabled_channels else ""
