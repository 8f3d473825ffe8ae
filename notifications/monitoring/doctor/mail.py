"""The DNS records of the domains from which the site sends emails."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from notifications import conf
from notifications.channels import create_channel
from notifications.channels.email import EmailChannel
from notifications.email_setup.dmarc import check_dmarc
from notifications.email_setup.domains import find_domains
from notifications.email_setup.findings import DNSUnavailable, Finding
from notifications.email_setup.resolver import Resolver
from notifications.email_setup.spf import check_spf
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.side_by_side import run_side_by_side
from notifications.monitoring.doctor.site import Site

SILENT = "Check that the DNS servers of this system answer, or name one with --nameserver."
LOCAL_DOMAINS = ("localhost", "localhost.localdomain")


def examine_mail(site: Site) -> Iterator[Diagnosis]:
    """Examine SPF and DMARC of each sender. ``check_email_setup`` examines DKIM too, which needs a selector."""
    channels = list(_list_email_channels())
    domains = find_domains(channels) if channels else []
    if not domains:
        return
    try:
        resolver = Resolver(site.nameserver)
    except DNSUnavailable as error:
        yield Diagnosis(Status.UNCHECKED, "mail", str(error), SILENT)
        return
    calls = {f"mail of {domain}": partial(_examine_domain, domain, resolver) for domain in domains}
    yield from run_side_by_side(calls, site.seconds, SILENT)


def _list_email_channels() -> Iterator[EmailChannel]:
    """Yield an object of each email channel. The examination of the channels reports those that cannot be created."""
    for name in sorted(conf.current().enabled_channels):
        for provider in conf.get_channel_conf(name).providers:
            with suppress(Exception):
                channel = create_channel(name, provider)
                if isinstance(channel, EmailChannel):
                    yield channel


def _examine_domain(domain: str, resolver: Resolver) -> Iterator[Diagnosis]:
    if domain in LOCAL_DOMAINS:
        detail = f"Emails are sent as {domain}, which no receiver outside of this machine accepts."
        yield Diagnosis(Status.WARNING, f"mail of {domain}", detail, "Set DEFAULT_FROM_EMAIL to an address of yours.")
        return
    for finding in (*check_spf(domain, resolver), *check_dmarc(domain, resolver)):
        yield _convert(finding)


def _convert(finding: Finding) -> Diagnosis:
    return Diagnosis(finding.status, finding.subject, finding.sentence, finding.advice)
