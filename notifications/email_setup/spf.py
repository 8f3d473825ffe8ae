"""SPF (RFC 7208): which servers may send emails with the sender's domain."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from notifications.email_setup.findings import DNSUnavailable, Finding, Status, make_unchecked
from notifications.email_setup.resolver import Resolver

MAX_LOOKUPS = 10
"""RFC 7208, 4.6.4: with more DNS queries, receivers treat the record as if it were invalid."""
TERM = re.compile(r"(?P<qualifier>[+?~-]?)(?P<name>[a-z][a-z0-9]*)(?P<rest>(?:[:/].*)?)", re.IGNORECASE)
MODIFIER = re.compile(r"(?P<name>[a-z][\w.-]*)=(?P<value>.*)", re.IGNORECASE)
WITH_LOOKUP = {"include", "a", "mx", "ptr", "exists"}
EXAMPLE = "v=spf1 include:spf.provider.example -all"


@dataclass
class SPFPolicy:
    """A record with the records that it includes.

    :ivar all_qualifier: the qualifier of ``all``; empty if the policy has no ``all``.
    """

    lookups: int = 0
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    all_qualifier: str = ""


def check_spf(domain: str, resolver: Resolver) -> Iterator[Finding]:
    """Examine the SPF record of a domain."""
    subject = f"SPF of {domain}"
    try:
        records = load_records(domain, resolver)
        if len(records) != 1:
            yield _report_count(subject, domain, records)
            return
        policy = SPFPolicy()
        _read_record(records[0], domain, resolver, policy, is_main=True)
    except DNSUnavailable as error:
        yield make_unchecked(subject, error)
        return
    yield from _report_policy(subject, domain, records[0], policy)


def load_records(domain: str, resolver: Resolver) -> list[str]:
    """Return the SPF records of a domain. It should have one."""
    texts = resolver.load_texts(domain)
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def _report_count(subject: str, domain: str, records: list[str]) -> Finding:
    if not records:
        sentence = f"{domain} has no SPF record, so receivers cannot tell your servers from others."
        advice = f'Add a TXT record to {domain} that your email provider documents, such as "{EXAMPLE}".'
        return Finding(Status.ERROR, subject, sentence, advice)
    sentence = f"{domain} has {len(records)} SPF records, so receivers ignore all of them (RFC 7208, 4.5)."
    return Finding(Status.ERROR, subject, sentence, "Merge them into one TXT record.")


def _report_policy(subject: str, domain: str, record: str, policy: SPFPolicy) -> Iterator[Finding]:
    if policy.lookups > MAX_LOOKUPS:
        policy.faults.append(f"It takes {policy.lookups} or more DNS queries; {MAX_LOOKUPS} are allowed.")
    for fault in policy.faults:
        advice = f"Correct the TXT record of {domain}: receivers ignore a record with an error."
        yield Finding(Status.ERROR, subject, fault, advice)
    if policy.all_qualifier == "+":
        advice = f'End the TXT record of {domain} with "-all" or "~all".'
        yield Finding(Status.ERROR, subject, 'It ends with "+all": every server may send for it.', advice)
    elif policy.all_qualifier in ("", "?"):
        advice = f'End the TXT record of {domain} with "-all" or "~all".'
        yield Finding(Status.WARNING, subject, "It says nothing about servers that it does not name.", advice)
    for warning in policy.warnings:
        yield Finding(Status.WARNING, subject, warning, f"Correct the TXT record of {domain}.")
    if not (policy.faults or policy.warnings) and policy.all_qualifier in ("-", "~"):
        yield Finding(Status.OK, subject, f'The record is valid: "{record}" ({policy.lookups} DNS queries).')


def _read_record(record: str, domain: str, resolver: Resolver, policy: SPFPolicy, is_main: bool) -> None:
    """Read the terms of a record and of those that it refers to. Receivers use ``all`` of the main record only."""
    redirect = ""
    for term in record.split()[1:]:
        modifier = MODIFIER.fullmatch(term)
        if modifier:
            if modifier["name"].lower() == "redirect":
                redirect = modifier["value"]
            continue
        _read_mechanism(term, domain, resolver, policy, is_main)
    has_all = any(TERM.fullmatch(term) and term.lower().lstrip("+?~-") == "all" for term in record.split()[1:])
    if redirect and not has_all:
        policy.lookups += 1
        _follow(redirect, f"redirect={redirect}", resolver, policy, is_main)


def _read_mechanism(term: str, domain: str, resolver: Resolver, policy: SPFPolicy, is_main: bool) -> None:
    match = TERM.fullmatch(term)
    name = match["name"].lower() if match else ""
    if not match or not _is_valid(name, match["rest"]):
        policy.faults.append(f'The record of {domain} has the invalid term "{term}".')
        return
    if name == "all":
        if is_main:
            policy.all_qualifier = match["qualifier"] or "+"
        return
    policy.lookups += name in WITH_LOOKUP
    if name == "ptr":
        policy.warnings.append(f'The record of {domain} has "{term}", which receivers may ignore (RFC 7208, 5.5).')
    if name == "include":
        _follow(match["rest"][1:], term, resolver, policy, is_main=False)


def _is_valid(name: str, rest: str) -> bool:
    if name == "all":
        return not rest
    if name in ("include", "exists"):
        return len(rest) > 1 and rest[0] == ":"
    if name in ("ip4", "ip6"):
        return _is_network(rest.removeprefix(":"), int(name[-1]))
    return name in ("a", "mx", "ptr") and rest != ":"


def _is_network(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_network(text, strict=False).version == version
    except ValueError:
        return False


def _follow(target: str, term: str, resolver: Resolver, policy: SPFPolicy, is_main: bool) -> None:
    """Read the record that a term refers to. A macro (``%``) depends on the email, so it is only counted."""
    if policy.lookups > MAX_LOOKUPS or "%" in target:
        return
    records = load_records(target, resolver)
    if len(records) != 1:
        policy.faults.append(f'"{term}" refers to {target}, which has {len(records) or "no"} SPF records.')
    else:
        _read_record(records[0], target, resolver, policy, is_main)
