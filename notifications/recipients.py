"""The words for recipients that are not simply users: members of a cluster, and bare addresses."""

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Members:
    """Everyone whom ``MEMBERS_OF(cluster)`` names; for ``None``, that of the default cluster."""

    cluster: Any


@dataclass(frozen=True, init=False)
class Address:
    """Someone without an account, reached by addresses alone: an emergency contact with only a phone.

    ``Address(email="contact@example.com", phone="+4915112345678")``. The names are the address kinds that channels ask
    for; a channel whose kind is not given is dropped with the reason *no_address*.
    """

    by_kind: tuple[tuple[str, str], ...]

    def __init__(self, **by_kind: str | None) -> None:
        given = {kind: value.strip() for kind, value in by_kind.items() if value and value.strip()}
        if not given:
            raise TypeError('An Address needs at least one address, such as Address(email="contact@example.com").')
        object.__setattr__(self, "by_kind", tuple(sorted(given.items())))

    def of_kind(self, kind: str) -> str:
        return dict(self.by_kind).get(kind, "")

    @property
    def key(self) -> str:
        """``a:`` and a SHA-256 over all its addresses: the same person twice in one send is one recipient."""
        text = "\n".join(f"{kind}={value.lower()}" for kind, value in self.by_kind)
        return f"a:{hashlib.sha256(text.encode()).hexdigest()}"


def user_key(pk: Any) -> str:
    """The recipient key of a user."""
    return f"u:{pk}"
