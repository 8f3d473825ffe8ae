"""The contract of a channel.

A channel is configured by its dotted path in ``NOTIFICATIONS["CHANNELS"]``; ``OPTIONS`` become keyword arguments of its
constructor. One object serves one worker thread, so it may keep a connection open between calls.
``notifications.testing.contract.ChannelContract`` tests a channel against what stands here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.utils.module_loading import import_string

from notifications.channels.rendered import Rendered
from notifications.conf.channels import ProviderConf
from notifications.core.channel_classes import get_channel_conf
from notifications.models import Delivery
from notifications.outcomes import Receipt


class BaseChannel:
    """Prepare messages and hand them to a provider.

    Facts, as class attributes:

    - ``address_kind``: what it sends to: ``"email"``, ``"phone"``, ``"url"``, a kind of the host's own, ``"user"`` for
      an account, ``""`` for nothing in particular.
    - ``group_size``: how many deliveries are marked *sending* together; it bounds the duplicates of a crash.
    - ``one_by_one``: a message is handed over only when its receipt is asked for, so that a group can be broken off.
    - ``patience``: the most seconds that one message can take, time-outs included; leases are made longer than that.
      An object may have its own.
    - ``idempotent``: whether the provider suppresses a repeat that carries the same ``delivery.idempotency_key``.
    - ``transactional``: ``send()`` writes to our own database and runs inside the transaction that records its outcome.
    - ``required_parts``, ``optional_parts``: template parts, such as ``"subject.txt"``, ``"txt"`` and ``"html"``.
    - ``takes_attachments``: whether ``rendered.attachments`` is wanted; to others no file is read.
    - ``requires``: optional modules that must be installed.
    """

    address_kind: ClassVar[str] = ""
    group_size: ClassVar[int] = 10
    one_by_one: ClassVar[bool] = False
    patience: float = 30
    idempotent: ClassVar[bool] = False
    transactional: ClassVar[bool] = False
    required_parts: ClassVar[Sequence[str]] = ("txt",)
    optional_parts: ClassVar[Sequence[str]] = ()
    takes_attachments: ClassVar[bool] = False
    requires: ClassVar[Sequence[str]] = ()

    def prepare(self, delivery: Delivery, rendered: Rendered) -> Any:
        """The message for one delivery. Pure: no network, no database, the same answer each time."""
        raise NotImplementedError

    def send(self, messages: Sequence[Any]) -> Iterator[Receipt]:
        """Hand messages over and yield one receipt for each as soon as it is known.

        An exception leaves those without a receipt *unknown*: they may or may not have been accepted. So raise only
        what you cannot tell anything about.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections; called when there is nothing to do, and at the end."""


def open_channel(name: str, provider: ProviderConf | None = None) -> BaseChannel:
    """A channel object as the settings describe it, for one of its providers; the first, if none is named.

    :raises ChannelNotConfigured: if the settings do not have it.
    """
    wanted = provider or get_channel_conf(name).providers[0]
    return import_string(wanted.backend)(**wanted.options)
