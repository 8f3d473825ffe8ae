"""The domains from which a site sends emails."""

from collections.abc import Iterable
from contextlib import suppress

from notifications import conf
from notifications.channels.email import EmailChannel
from notifications.channels.mailboxes import InvalidMailbox, parse_mailbox, to_dns_domain


def find_domains(channels: Iterable[EmailChannel], more: Iterable[str] = ()) -> list[str]:
    """Return the domains of all valid senders and the given ones, each once, in their ASCII form."""
    senders = [channel.sender.domain for channel in channels if not channel.sender_faults]
    if sender := conf.current().theme.get("from_email"):
        with suppress(InvalidMailbox):  # reported by an attempt, which names the theme
            senders.append(parse_mailbox(sender).domain)
    return list(dict.fromkeys(to_dns_domain(domain).lower() for domain in [*senders, *more]))
