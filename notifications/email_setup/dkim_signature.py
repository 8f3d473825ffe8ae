"""DKIM (RFC 6376): the public key in DNS, and the signature of an email as it arrived.

dkimpy (the extra ``dns``) parses keys and verifies signatures.
"""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.utils import parseaddr
from typing import Any

from notifications.core import extras
from notifications.email_setup.dmarc import parse_tags
from notifications.email_setup.findings import DNSUnavailable, Finding, Status, make_unchecked
from notifications.email_setup.resolver import Resolver

RECOMMENDED_BITS = 2048
UNSUBSCRIBE_HEADERS = ("list-unsubscribe", "list-unsubscribe-post")


def check_key(domain: str, selector: str, resolver: Resolver) -> Iterator[Finding]:
    """Examine the public key of a selector of a domain."""
    name = f"{selector}._domainkey.{domain}"
    subject = f"DKIM key {name}"
    try:
        records = resolver.load_texts(name)
    except DNSUnavailable as error:
        yield make_unchecked(subject, error)
        return
    if len(records) != 1:
        sentence = f"{name} has {len(records) or 'no'} TXT records instead of one."
        advice = "Add the record that your email provider or server documents, and check the selector."
        yield Finding(Status.ERROR, subject, sentence, advice)
        return
    yield from _report_key(subject, name, records[0])


def _report_key(subject: str, name: str, record: str) -> Iterator[Finding]:
    dkim: Any = extras.import_optional("dkim")
    tags = parse_tags(record)
    advice = f"Replace the TXT record of {name} by the one that your email provider or server documents."
    if not tags.get("p"):
        yield Finding(Status.ERROR, subject, "The key is empty, which means that it was revoked.", advice)
        return
    if "y" in tags.get("t", "").split(":"):
        sentence = "The key is marked as a test (t=y), so receivers may ignore the signature."
        yield Finding(Status.WARNING, subject, sentence, f"Remove t=y from the TXT record of {name}.")
    if tags.get("k", "rsa").lower() != "rsa":
        yield Finding(Status.OK, subject, f"There is a key of the type {tags['k']}.")
        return
    try:
        _key, bits, _kind, _is_for_reports = dkim.evaluate_pk(name.encode(), record.encode())
    except (dkim.KeyFormatError, ValueError) as error:
        yield Finding(Status.ERROR, subject, f"The key cannot be read: {error}", advice)
        return
    if bits < RECOMMENDED_BITS:
        advice = f"Use a key of {RECOMMENDED_BITS} bits."
        yield Finding(Status.WARNING, subject, f"The RSA key has only {bits} bits.", advice)
    else:
        yield Finding(Status.OK, subject, f"There is an RSA key of {bits} bits.")


def check_signed_mail(content: bytes, resolver: Resolver) -> Iterator[Finding]:
    """Examine the DKIM signatures of an email as it arrived in a mailbox.

    RFC 8058, 4: a valid signature must cover both headers for unsubscribing, or receivers ignore one-click.
    """
    message = message_from_bytes(content, policy=policy.default.clone(utf8=True))
    domain = parseaddr(str(message["From"] or ""))[1].rpartition("@")[2].lower()
    subject = f"DKIM signature of {domain or 'the email'}"
    signatures = [parse_tags(" ".join(str(value).split())) for value in message.get_all("DKIM-Signature", ())]
    if not signatures:
        advice = "Turn DKIM on at your email provider or mail server. Save the email as it arrived, with all headers."
        yield Finding(Status.ERROR, subject, "The email has no DKIM signature.", advice)
        return
    aligned = [(index, tags) for index, tags in enumerate(signatures) if is_aligned(tags.get("d", ""), domain)]
    if not aligned:
        domains = ", ".join(tags.get("d", "?") for tags in signatures)
        sentence = f"The email is signed by {domains} but not by {domain}, so DMARC does not count the signature."
        advice = f"Let your email provider sign with {domain}."
        yield Finding(Status.ERROR, subject, sentence, advice)
        return
    try:
        findings = [_examine_signature(subject, content, index, tags, resolver) for index, tags in aligned]
    except DNSUnavailable as error:
        yield make_unchecked(subject, error)
        return
    # One good signature is enough.
    good = [finding for finding in findings if finding.status is Status.OK]
    yield from good[:1] or findings


def is_aligned(signing_domain: str, domain: str) -> bool:
    """Return whether a signing domain is the sender's domain, or one is below the other (RFC 7489, 3.1.1)."""
    one, two = signing_domain.lower().rstrip("."), domain.lower()
    return bool(one) and (one == two or two.endswith(f".{one}") or one.endswith(f".{two}"))


def _examine_signature(subject: str, content: bytes, index: int, tags: dict[str, str], resolver: Resolver) -> Finding:
    """
    :raises DNSUnavailable: if the public key cannot be looked up.
    """
    who = f"The signature of {tags.get('d')} with the selector {tags.get('s')}"
    if error := _verify(content, index, resolver):
        advice = "Check the key in DNS with --selector, and that nothing changes emails after they are signed."
        return Finding(Status.ERROR, subject, f"{who} is not valid: {error}", advice)
    signed = {name.strip().lower() for name in tags.get("h", "").split(":")}
    present = {name.lower() for name in message_from_bytes(content)}
    if absent := [name for name in UNSUBSCRIBE_HEADERS if name not in present]:
        sentence = f"{who} is valid, but the email has no {' and no '.join(absent)} header to be signed."
        advice = "Examine the mail that --to sends, with an https NOTIFICATIONS['BASE_URL']."
        return Finding(Status.WARNING, subject, sentence, advice)
    if unsigned := [name for name in UNSUBSCRIBE_HEADERS if name not in signed]:
        sentence = f"{who} does not cover {' and '.join(unsigned)}, so receivers ignore one-click unsubscribing."
        advice = "Add both headers to the signed headers (h=) in the settings of your mail server (RFC 8058, 4)."
        return Finding(Status.ERROR, subject, sentence, advice)
    return Finding(Status.OK, subject, f"{who} is valid and covers both headers for unsubscribing.")


def _verify(content: bytes, index: int, resolver: Resolver) -> str:
    """Return why a signature is not valid; empty if it is."""
    dkim: Any = extras.import_optional("dkim")

    def load_key(name: bytes | str, timeout: float = 0) -> bytes | None:
        text = name.decode() if isinstance(name, bytes) else name
        records = resolver.load_texts(text)
        return records[0].encode() if records else None

    try:
        is_valid = dkim.DKIM(content).verify(index, dnsfunc=load_key)
    except dkim.DKIMException as error:
        return str(error)
    return "" if is_valid else "the email was changed, or the key is not the one that signed it."
