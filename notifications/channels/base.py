"""The contract of a channel.

A new channel is a subclass in a module of its own; a built-in one also needs an entry in
``conf.channels.BUILT_IN_CHANNELS``.

A channel is configured by its dotted path in ``NOTIFICATIONS["CHANNELS"]``. ``OPTIONS`` become keyword arguments of its
constructor. Each object belongs to one worker thread, so it can keep a connection open between calls.
``notifications.testing.contract.ChannelContract`` tests a channel against this contract.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.utils.module_loading import import_string

from notifications.attachments import Attachment
from notifications.conf import get_channel_conf
from notifications.conf.channels import ProviderConf
from notifications.mail.footer import Footer
from notifications.models import Delivery
from notifications.outcomes import Receipt

SUBJECT, TEXT, HTML = "subject.txt", "txt", "html"
"""The template parts that Klaxon's own channels use."""


@dataclass(frozen=True)
class Rendered:
    """The rendered parts of one delivery. The subject is one line, and text parts are not HTML-escaped.

    Its representation does not show them, because they can contain the content of a sensitive event.
    ``attachments`` is empty unless the channel takes attachments, and ``footer`` unless it has the part ``html``.
    ``label`` is the name of the event for users. ``action_url``, the address of its button, is absolute or empty, and
    ``action_label`` is the text of the button. If ``is_sensitive`` is true, the parts contain the content of a
    sensitive event only if the channel ``keeps_content_secret``.
    """

    parts: Mapping[str, str] = field(repr=False)
    language: str = ""
    attachments: tuple[Attachment, ...] = ()
    footer: Footer = Footer()
    label: str = ""
    action_url: str = field(default="", repr=False)
    action_label: str = ""
    is_sensitive: bool = False

    @property
    def subject(self) -> str:
        return self.parts.get(SUBJECT, "")

    @property
    def text(self) -> str:
        return self.parts.get(TEXT, "")

    @property
    def html(self) -> str:
        return self.parts.get(HTML, "")


class BaseChannel:
    """Prepare messages and hand them to a provider.

    Class attributes declare the properties of the channel:

    - ``address_kind``: the kind of address: ``"email"``, ``"phone"``, ``"url"``, a kind of the site's own, ``"user"``
      for an account, or ``""`` for none.
    - ``group_size``: the number of deliveries that are marked *sending* together. It limits the duplicates after a
      crash.
    - ``one_by_one``: whether a message is handed over only when its receipt is requested, so that Klaxon can stop in
      the middle of a group.
    - ``timeout``: the number of seconds that one message can take at most, including all timeouts of the connection.
      Leases last longer than this. An instance can set its own value.
    - ``idempotent``: whether the provider ignores a second message with the same ``delivery.idempotency_key``. An
      instance can set its own value.
    - ``transactional``: whether ``send()`` writes only to the site's own database. Klaxon then calls it in the
      transaction that records the outcomes.
    - ``required_parts``, ``optional_parts``: template parts, such as ``"subject.txt"``, ``"txt"`` and ``"html"``.
    - ``derived_parts``: those of the optional parts ``"txt"`` and ``"html"`` that Klaxon derives from the other one if
      they have no template. One of the two then needs a template. An instance can set its own value.
    - ``takes_attachments``: whether the channel delivers ``rendered.attachments``. Only then does Klaxon read the
      files.
    - ``keeps_content_secret``: whether the channel stores ``rendered`` encrypted if ``rendered.is_sensitive``, and
      shows it only to its recipient. Any other channel gets only a link to the content of a sensitive event.
    - ``requires``: optional modules that must be installed.
    - ``covered_by``: the name of another channel. Recipients who get the notification on that one do not get it on this
      one; the reason is ``covered``.
    - ``can_show_links``: whether recipients can open a link in a message.
    - ``needs_presence``: whether a message on this channel is noticed only by people who have a page with a live stream
      open. For the ``prefer`` list of an event.
    - ``find_reachable``: for a channel that sends to accounts but cannot reach all of them, a static or class method.
      It takes primary keys of users and returns those that it can reach. ``send()`` calls it once for each chunk of
      recipients, and drops the others with the reason ``no_address``.
    - ``find_subscribers``: for a channel that sends to subscribers of its own and not to the recipients of a call, a
      static or class method. It takes the cluster and the name of an event, and returns the addresses that get each
      notification of that event, once. ``send()`` calls it once. Preferences, batches and the limits of users do not
      apply to subscribers.
    """

    address_kind: ClassVar[str] = ""
    group_size: ClassVar[int] = 10
    one_by_one: ClassVar[bool] = False
    timeout: float = 30
    idempotent: bool = False
    transactional: ClassVar[bool] = False
    required_parts: ClassVar[Sequence[str]] = ("txt",)
    optional_parts: ClassVar[Sequence[str]] = ()
    derived_parts: Sequence[str] = ()
    takes_attachments: ClassVar[bool] = False
    keeps_content_secret: ClassVar[bool] = False
    requires: ClassVar[Sequence[str]] = ()
    covered_by: ClassVar[str] = ""
    can_show_links: ClassVar[bool] = True
    needs_presence: ClassVar[bool] = False
    find_reachable: ClassVar[Any] = None
    find_subscribers: ClassVar[Any] = None

    def prepare(self, delivery: Delivery, rendered: Rendered) -> Any:
        """Return the message for one delivery. The method is pure: it uses no network and no database.

        It returns a new object with equal content each time; receipts are matched by object identity.
        """
        raise NotImplementedError

    def send(self, messages: Sequence[Any]) -> Iterator[Receipt]:
        """Hand messages to the provider, and yield one receipt for each as soon as it is known.

        An exception leaves the messages without a receipt *unknown*: the provider may or may not have accepted them.
        Convert every error that you can interpret into a receipt.
        """
        raise NotImplementedError

    def check_credentials(self) -> str:
        """Ask the provider whether it accepts the settings of the channel, without sending a message.

        The doctor calls it. Return a sentence about what the provider has answered, without secrets, or an empty text
        if the provider cannot be asked.

        :raises CredentialsFault: if the provider refuses the settings, or does not answer.
        """
        return ""

    def close(self) -> None:
        """Close connections. Klaxon calls this when there is nothing to send and when the worker stops."""


def create_channel(name: str, provider: ProviderConf | None = None) -> BaseChannel:
    """Return a channel object for one of the channel's providers, by default the first.

    :raises ChannelNotConfigured: if the settings do not contain the channel.
    """
    chosen = provider or get_channel_conf(name).providers[0]
    return import_string(chosen.backend)(**chosen.options)
