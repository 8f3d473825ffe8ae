"""Examine whether receivers can trust the emails of this site."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from notifications import conf
from notifications.channels import create_channel
from notifications.channels.email import EmailChannel
from notifications.channels.mailboxes import InvalidMailbox, parse_mailbox, to_dns_address
from notifications.core import clock
from notifications.email_setup.dkim_signature import check_key, check_signed_mail
from notifications.email_setup.dmarc import check_dmarc
from notifications.email_setup.domains import find_domains
from notifications.email_setup.findings import DNSUnavailable, Finding, Status, make_unchecked
from notifications.email_setup.resolver import Resolver
from notifications.email_setup.sample_mail import send_sample
from notifications.email_setup.server import check_server
from notifications.email_setup.spf import check_spf
from notifications.exceptions import MissingExtra
from notifications.management.counts import format_count

FAULTY, INCOMPLETE = 1, 2
EMAIL_CHANNEL = "NOTIFICATIONS['CHANNELS']['email']"


class Command(BaseCommand):
    help = (
        "Examine SPF, DKIM and DMARC of the senders of emails, TLS and the certificate of the SMTP servers and, with "
        "--to, whether a test mail is accepted. Exit codes: 0 no error, 1 an error, 2 no error, but something could "
        "not be examined, for example because DNS cannot be reached."
    )
    # The command reports wrong settings itself, with the other findings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", metavar="ADDRESS", help="send a test mail to this address through each provider")
        parser.add_argument(
            "--selector", action="append", default=[], help="a DKIM selector of the senders' domains; can be repeated"
        )
        parser.add_argument(
            "--signed-mail", metavar="FILE", help="examine the DKIM signature of a received email; - for stdin"
        )
        parser.add_argument(
            "--domain", action="append", default=[], help="another domain that sends emails; can be repeated"
        )
        parser.add_argument("--nameserver", default="", metavar="IP[:PORT]", help="ask this DNS server")

    def handle(self, *args: Any, **options: Any) -> None:
        address = parse_address(options["to"]) if options["to"] else ""
        channels = list(open_email_channels())
        if not channels:
            raise CommandError(f"No email channel is enabled. Set ENABLED of {EMAIL_CHANNEL} to True.")
        tally: Counter[Status] = Counter()
        # Wrong options are refused before any result is printed.
        signed_mail = read_mail(options["signed_mail"]) if options["signed_mail"] else None
        examination = DNSExamination(open_resolver(options["nameserver"]), options["selector"], signed_mail)
        for finding in self._examine(
            channels, address, find_domains([channel for _, _, channel in channels], options["domain"]), examination
        ):
            tally[finding.status] += 1
            self._print(finding)
        self._finish(tally)

    def _examine(
        self,
        channels: list[tuple[str, str, EmailChannel]],
        address: str,
        domains: list[str],
        examination: "DNSExamination",
    ) -> Iterator[Finding]:
        for name, provider, channel in channels:
            yield from (Finding(Status.ERROR, f"Sender of {name!r}", fault) for fault in channel.sender_faults)
            yield from check_server(channel, clock.local_now())
            if address:
                yield from send_sample(channel, name, provider, address)
        yield from examination.run(domains)

    def _print(self, finding: Finding) -> None:
        style = {Status.OK: self.style.SUCCESS, Status.ERROR: self.style.ERROR}.get(finding.status, self.style.WARNING)
        self.stdout.write(f"{style(f'[{finding.status.value}]')} {finding.subject}: {finding.sentence}")
        if finding.advice:
            self.stdout.write(f"    {finding.advice}")

    def _finish(self, tally: Counter[Status]) -> None:
        """Print the totals.

        :raises CommandError: with an exit code, if there are errors or not everything was examined.
        """
        parts = [
            format_count(tally[Status.ERROR], "error"),
            format_count(tally[Status.WARNING], "warning"),
            f"{tally[Status.UNCHECKED]} not checked",
        ]
        summary = f"Result: {', '.join(parts)}."
        if tally[Status.ERROR]:
            raise CommandError(summary, returncode=FAULTY)
        if tally[Status.UNCHECKED]:
            raise CommandError(summary, returncode=INCOMPLETE)
        self.stdout.write(summary)


def open_email_channels() -> Iterator[tuple[str, str, EmailChannel]]:
    """Yield the names of each email channel and its providers, with the channel object.

    :raises CommandError: if one cannot be created.
    """
    try:
        names = sorted(conf.current().enabled_channels)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    for name in names:
        for provider in conf.get_channel_conf(name).providers:
            try:
                channel = create_channel(name, provider)
            except Exception as error:
                hint = "Run `manage.py check --tag klaxon` for details."
                raise CommandError(f"The channel {name!r} cannot be created: {error} {hint}") from error
            if isinstance(channel, EmailChannel):
                yield name, provider.name, channel


def parse_address(text: str) -> str:
    """
    :raises CommandError: if the text is not one bare address.
    """
    try:
        return to_dns_address(parse_mailbox(text).address)
    except InvalidMailbox as error:
        raise CommandError(f"--to {text!r} {error}.") from error


@dataclass(frozen=True)
class DNSExamination:
    """The examination of SPF, DKIM and DMARC. ``resolver`` is the reason if DNS cannot be used."""

    resolver: Resolver | MissingExtra | DNSUnavailable
    selectors: Sequence[str]
    signed_mail: bytes | None

    def run(self, domains: Iterable[str]) -> Iterator[Finding]:
        resolver = self.resolver
        if isinstance(resolver, Exception):
            yield make_unchecked("SPF, DKIM and DMARC", resolver)
            return
        for domain in domains:
            yield from check_spf(domain, resolver)
            yield from check_dmarc(domain, resolver)
            for selector in self.selectors:
                yield from check_key(domain, selector, resolver)
        if self.signed_mail is not None:
            yield from check_signed_mail(self.signed_mail, resolver)
        elif not self.selectors:
            sentence = "DNS alone does not say which key signs, nor what the signature covers."
            advice = "Name the --selector, or give an email as it arrived: send one with --to, then use --signed-mail."
            yield Finding(Status.UNCHECKED, "DKIM", sentence, advice)


def open_resolver(nameserver: str) -> Resolver | MissingExtra | DNSUnavailable:
    """Return the resolver, or why DNS cannot be used.

    :raises CommandError: if the name server is not an IP address.
    """
    try:
        return Resolver(nameserver)
    except (MissingExtra, DNSUnavailable) as error:
        return error
    except ValueError as error:
        raise CommandError(f"--nameserver must be an IP address such as 127.0.0.1:53. {error}") from error


def read_mail(path: str) -> bytes:
    """
    :raises CommandError: if the file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"--signed-mail {path!r} cannot be read: {error.strerror}.") from error
