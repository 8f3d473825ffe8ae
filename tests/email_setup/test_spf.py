"""SPF, asked from a real DNS server on loopback."""

import pytest

from notifications.email_setup.findings import Status
from notifications.email_setup.resolver import Resolver
from notifications.email_setup.spf import check_spf

pytestmark = pytest.mark.needs("dns", "dnslib")


def examine(resolver):
    return [(finding.status, finding.sentence) for finding in check_spf("example.com", resolver)]


def test_a_record_that_names_its_servers_is_fine(zone, resolver):
    zone.texts["example.com"] = ["site-proof=1", "v=spf1 a mx ip4:192.0.2.0/24 include:_spf.example.org -all"]
    zone.texts["_spf.example.org"] = ["v=spf1 ip6:2001:db8::/32 ?all"]
    [(status, sentence)] = examine(resolver)
    assert (status, sentence.endswith("(3 DNS queries).")) == (Status.OK, True)


def test_a_long_record_is_joined(zone, resolver):
    networks = " ".join(f"ip4:192.0.2.{number}" for number in range(60))
    zone.texts["example.com"] = [f"v=spf1 {networks} ~all"]
    [(status, _)] = examine(resolver)
    assert status is Status.OK


def test_a_redirect_is_followed(zone, resolver):
    zone.texts["example.com"] = ["v=spf1 redirect=_spf.example.org"]
    zone.texts["_spf.example.org"] = ["v=spf1 mx -all"]
    assert [status for status, _ in examine(resolver)] == [Status.OK]


@pytest.mark.parametrize("texts", [[], ["other"], ["v=spf10 -all"]])
def test_a_missing_record_is_an_error(zone, resolver, texts):
    zone.texts["example.com"] = texts
    [(status, sentence)] = examine(resolver)
    assert (status, "no SPF record" in sentence) == (Status.ERROR, True)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=spf1 +all", 'ends with "+all"'),
        ("v=spf1 all", 'ends with "+all"'),
        ("v=spf1 ip4:192.0.2.0/99 -all", 'the invalid term "ip4:192.0.2.0/99"'),
        ("v=spf1 ip4:2001:db8::1 -all", 'the invalid term "ip4:2001:db8::1"'),
        ("v=spf1 include -all", 'the invalid term "include"'),
        ("v=spf1 inclde:example.org -all", 'the invalid term "inclde:example.org"'),
        ("v=spf1 include:nowhere.example.org -all", "refers to nowhere.example.org, which has no SPF records"),
        ("v=spf1 include:example.com -all", "It takes 11 or more DNS queries; 10 are allowed."),
    ],
)
def test_a_record_that_receivers_ignore_or_that_permits_everything_is_an_error(zone, resolver, record, words):
    zone.texts["example.com"] = [record]
    findings = examine(resolver)
    assert (Status.ERROR, True) in [(status, words in sentence) for status, sentence in findings]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=spf1 mx", "nothing about servers that it does not name"),
        ("v=spf1 mx ?all", "nothing about servers that it does not name"),
        ("v=spf1 ptr -all", "which receivers may ignore"),
    ],
)
def test_a_weak_record_is_a_warning(zone, resolver, record, words):
    zone.texts["example.com"] = [record]
    [(status, sentence)] = examine(resolver)
    assert (status, words in sentence) == (Status.WARNING, True)


def test_two_records_are_an_error(zone, resolver):
    zone.texts["example.com"] = ["v=spf1 mx -all", "v=spf1 a -all"]
    [(status, sentence)] = examine(resolver)
    assert (status, "2 SPF records" in sentence) == (Status.ERROR, True)


def test_a_broken_dns_server_says_nothing_about_the_record(zone, resolver):
    zone.texts["example.com"] = None
    assert [status for status, _ in examine(resolver)] == [Status.UNCHECKED]


def test_a_dns_server_that_does_not_answer_says_nothing_either(monkeypatch):
    monkeypatch.setattr("notifications.email_setup.resolver.TIMEOUT", 0.1)
    assert [status for status, _ in examine(Resolver("127.0.0.1:9"))] == [Status.UNCHECKED]
