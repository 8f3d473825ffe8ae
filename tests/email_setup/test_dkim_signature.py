"""DKIM: keys in a real DNS server on loopback, and emails that dkimpy has signed."""

import base64
from functools import cache

import pytest

from notifications.email_setup.dkim_signature import check_key, check_signed_mail
from notifications.email_setup.findings import Status

pytestmark = pytest.mark.needs("dns", "dkim", "dnslib", "cryptography")

KEY_NAME = "s1._domainkey.example.com"
MAIL = b"""From: Shop <shop@example.com>\r
To: ann@example.org\r
Subject: Test\r
List-Unsubscribe: <https://shop.example.com>\r
List-Unsubscribe-Post: List-Unsubscribe=One-Click\r
\r
Hello\r
"""
UNSUBSCRIBE = [b"list-unsubscribe", b"list-unsubscribe-post"]


@cache
def make_key(bits=2048):
    """Return a private key as PEM, and the public key as the record of the DNS has it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, bits)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, base64.b64encode(public).decode()


def sign(mail, headers=(b"from", b"subject", *UNSUBSCRIBE), domain=b"example.com", key=None):
    import dkim

    private = key or make_key()[0]
    return dkim.sign(mail, b"s1", domain, private, include_headers=list(headers)) + mail


@pytest.fixture
def signing(zone):
    zone.texts[KEY_NAME] = [f"v=DKIM1; k=rsa; p={make_key()[1]}"]


def examine(mail, resolver):
    return [(finding.status, finding.sentence) for finding in check_signed_mail(mail, resolver)]


class TestSignature:
    def test_a_signature_that_covers_both_headers_is_fine(self, signing, resolver):
        [(status, sentence)] = examine(sign(MAIL), resolver)
        assert (status, "covers both headers" in sentence) == (Status.OK, True)

    @pytest.mark.parametrize("unsigned", UNSUBSCRIBE)
    def test_a_header_for_unsubscribing_that_is_not_signed_is_an_error(self, signing, resolver, unsigned):
        headers = [b"from", *(name for name in UNSUBSCRIBE if name != unsigned)]
        [(status, sentence)] = examine(sign(MAIL, headers), resolver)
        assert (status, f"does not cover {unsigned.decode()}, " in sentence) == (Status.ERROR, True)

    def test_an_email_that_was_changed_is_an_error(self, signing, resolver):
        [(status, sentence)] = examine(sign(MAIL).replace(b"Hello", b"Hallo"), resolver)
        assert (status, "is not valid: body hash mismatch" in sentence) == (Status.ERROR, True)

    def test_another_key_in_the_dns_is_an_error(self, zone, resolver):
        zone.texts[KEY_NAME] = [f"v=DKIM1; p={make_key(1024)[1]}"]
        [(status, sentence)] = examine(sign(MAIL), resolver)
        assert (status, "is not the one that signed it" in sentence) == (Status.ERROR, True)

    def test_a_key_that_is_not_in_the_dns_is_an_error(self, resolver):
        assert [status for status, _ in examine(sign(MAIL), resolver)] == [Status.ERROR]

    def test_an_email_without_the_headers_shows_only_that_it_is_signed(self, signing, resolver):
        mail = b"\r\n".join(line for line in MAIL.split(b"\r\n") if not line.startswith(b"List-"))
        [(status, _)] = examine(sign(mail, [b"from"]), resolver)
        assert status is Status.WARNING

    def test_a_signature_of_another_domain_does_not_count(self, resolver):
        [(status, sentence)] = examine(sign(MAIL, domain=b"provider.example"), resolver)
        assert (status, "signed by provider.example but not by example.com" in sentence) == (Status.ERROR, True)

    def test_one_good_signature_of_two_is_enough(self, signing, resolver):
        once = sign(MAIL, [b"from"])
        assert [status for status, _ in examine(sign(once), resolver)] == [Status.OK]

    def test_an_email_without_a_signature_is_an_error(self, resolver):
        [(status, sentence)] = examine(MAIL, resolver)
        assert (status, sentence) == (Status.ERROR, "The email has no DKIM signature.")

    def test_a_broken_dns_server_says_nothing_about_the_signature(self, zone, resolver):
        zone.texts[KEY_NAME] = None
        assert [status for status, _ in examine(sign(MAIL), resolver)] == [Status.UNCHECKED]


class TestKey:
    @pytest.mark.parametrize(
        ("records", "status", "words"),
        [
            (["v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="], Status.OK, "type ed25519"),
            (["v=DKIM1; p="], Status.ERROR, "revoked"),
            (["v=DKIM1; p=bm90IGEga2V5"], Status.ERROR, "cannot be read"),
            ([], Status.ERROR, "no TXT records"),
            (["p=1", "p=2"], Status.ERROR, "2 TXT records"),
            (None, Status.UNCHECKED, "cannot be looked up"),
        ],
    )
    def test_other_keys_are_examined(self, zone, resolver, records, status, words):
        zone.texts[KEY_NAME] = records
        [finding] = check_key("example.com", "s1", resolver)
        assert (finding.status, words in finding.sentence) == (status, True), finding

    @pytest.mark.parametrize(("bits", "status"), [(2048, Status.OK), (1024, Status.WARNING)])
    def test_a_short_key_is_a_warning(self, zone, resolver, bits, status):
        zone.texts[KEY_NAME] = [f"v=DKIM1; k=rsa; p={make_key(bits)[1]}"]
        [finding] = check_key("example.com", "s1", resolver)
        assert (finding.status, f"{bits} bits" in finding.sentence) == (status, True)

    def test_a_key_marked_as_a_test_is_a_warning(self, zone, resolver):
        zone.texts[KEY_NAME] = [f"v=DKIM1; t=y; p={make_key()[1]}"]
        warning, key = check_key("example.com", "s1", resolver)
        assert (warning.status, key.status) == (Status.WARNING, Status.OK)
