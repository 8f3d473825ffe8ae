"""DMARC (RFC 7489): what receivers do with emails that pass neither SPF nor DKIM for the sender's domain."""

from collections.abc import Iterator

from notifications.email_setup.findings import DNSUnavailable, Finding, Status, make_unchecked
from notifications.email_setup.resolver import Resolver

POLICIES = ("none", "quarantine", "reject")
MAX_LABELS = 8
"""The number of labels at which the walk towards the top begins at most."""


def check_dmarc(domain: str, resolver: Resolver) -> Iterator[Finding]:
    """Examine the DMARC record that applies to a domain: its own, or that of the nearest domain above it."""
    subject = f"DMARC of {domain}"
    try:
        owner, records = find_records(domain, resolver)
    except DNSUnavailable as error:
        yield make_unchecked(subject, error)
        return
    name = f"_dmarc.{owner}"
    if not records:
        sentence = f"{domain} has no DMARC record, which Gmail and Yahoo require of senders of many emails."
        advice = f'Add a TXT record to {name}, such as "v=DMARC1; p=none; rua=mailto:dmarc@{owner}".'
        yield Finding(Status.ERROR, subject, sentence, advice)
    elif len(records) > 1:
        sentence = f"{name} has {len(records)} DMARC records, so receivers ignore all of them."
        yield Finding(Status.ERROR, subject, sentence, "Keep one TXT record.")
    else:
        yield from _report_record(subject, name, records[0], is_inherited=owner != domain)


def find_records(domain: str, resolver: Resolver) -> tuple[str, list[str]]:
    """Return the domain whose DMARC records apply, and these records; the domain itself if there are none.

    It walks up the tree, so that it needs no list of public suffixes.
    """
    labels = domain.split(".")
    starts = [0, *range(max(1, len(labels) - MAX_LABELS), len(labels) - 1)]
    for start in starts:
        owner = ".".join(labels[start:])
        texts = resolver.load_texts(f"_dmarc.{owner}")
        if records := [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]:
            return owner, records
    return domain, []


def parse_tags(record: str) -> dict[str, str]:
    """Return the tags of a record of the form ``name=value; name=value``. Names are in lower case."""
    pairs = (part.partition("=") for part in record.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _report_record(subject: str, name: str, record: str, is_inherited: bool) -> Iterator[Finding]:
    tags = parse_tags(record)
    policy = (tags.get("sp") if is_inherited else None) or tags.get("p", "")
    if policy.lower() not in POLICIES:
        advice = f"Set p in the TXT record of {name} to none, quarantine or reject."
        yield Finding(Status.ERROR, subject, f'The policy is "{policy}", so receivers ignore the record.', advice)
        return
    if policy.lower() == "none":
        advice = f"When the reports show that your emails pass, set p in the TXT record of {name} to quarantine."
        yield Finding(Status.WARNING, subject, "The policy is none: forged emails are delivered too.", advice)
    if "rua" not in tags:
        advice = f"Add rua=mailto:… to the TXT record of {name}."
        yield Finding(Status.WARNING, subject, "No address for reports is given, so you do not see failures.", advice)
    if policy.lower() != "none" and "rua" in tags:
        yield Finding(Status.OK, subject, f'The record is valid: "{record}".')
