"""Who an email is from, and where replies to it go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from notifications.channels.mailboxes import InvalidMailbox, encode_domain, parse_mailbox

# RFC 2047, 2.
ENCODED_WORD = "=?"


@dataclass(frozen=True)
class Sender:
    """The sender of an email.

    :param from_email: one address, optionally with a name.
    :param reply_to: a list of such addresses.
    """

    from_email: str = ""
    reply_to: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.reply_to, str):
            raise TypeError(f"reply_to must be a list of addresses, not {self.reply_to!r}")
        object.__setattr__(self, "reply_to", tuple(map(str, self.reply_to)))
        object.__setattr__(self, "from_email", str(self.from_email or ""))


@dataclass(frozen=True)
class EncodedSender:
    """A sender with ASCII domains. ``domain`` is that of ``from_email``."""

    from_email: str
    reply_to: tuple[str, ...]
    domain: str


def find_sender_faults(sender: Sender, name: str = "from_email") -> Iterator[str]:
    """Yield one sentence for each invalid address. It begins with ``name`` or ``reply_to``."""
    for setting, text in [(name, sender.from_email), *(("reply_to", address) for address in sender.reply_to)]:
        try:
            parse_mailbox(text)
        except InvalidMailbox as error:
            yield f"{setting} {text!r:.200} {error}".rstrip(".") + "."
        else:
            # An encoded name can hide a line end from all checks.
            if ENCODED_WORD in text:
                yield f"{setting} {text!r:.200} contains an encoded word. Write the name as plain text."


@lru_cache(maxsize=1000)
def encode_sender(sender: Sender) -> EncodedSender:
    """Return the sender with ASCII domains.

    :raises ValueError: if an address is invalid.
    """
    if faults := " ".join(find_sender_faults(sender)):
        raise ValueError(faults)
    texts = [sender.from_email, *sender.reply_to]
    from_email, *reply_to = texts if "".join(texts).isascii() else map(encode_domain, texts)
    return EncodedSender(from_email, tuple(reply_to), parse_mailbox(from_email).domain)
