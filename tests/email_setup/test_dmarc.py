"""DMARC, asked from a real DNS server on loopback."""

import pytest

from notifications.email_setup.dmarc import check_dmarc
from notifications.email_setup.findings import Status

pytestmark = pytest.mark.needs("dns", "dnslib")

STRICT = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"


def examine(resolver, domain="example.com"):
    return [(finding.status, finding.sentence) for finding in check_dmarc(domain, resolver)]


def test_a_strict_record_with_reports_is_fine(zone, resolver):
    zone.texts["_dmarc.example.com"] = [STRICT]
    assert [status for status, _ in examine(resolver)] == [Status.OK]


def test_a_domain_inherits_the_record_of_the_nearest_domain_above(zone, resolver):
    zone.texts["_dmarc.example.com"] = ["v=DMARC1; p=reject; sp=none; rua=mailto:dmarc@example.com"]
    [(status, sentence)] = examine(resolver, "mail.shop.example.com")
    assert (status, sentence.startswith("The policy is none")) == (Status.WARNING, True)
    assert zone.queries == ["_dmarc.mail.shop.example.com", "_dmarc.shop.example.com", "_dmarc.example.com"]


def test_the_top_level_domain_is_not_asked(zone, resolver):
    [(status, sentence)] = examine(resolver)
    assert (status, "no DMARC record" in sentence) == (Status.ERROR, True)
    assert zone.queries == ["_dmarc.example.com"]


@pytest.mark.parametrize("records", [["v=DMARC1; p=block"], ["v=DMARC1"], [STRICT, f"{STRICT}; pct=100"]])
def test_records_that_receivers_ignore_are_errors(zone, resolver, records):
    zone.texts["_dmarc.example.com"] = records
    assert [status for status, _ in examine(resolver)] == [Status.ERROR]


def test_a_record_that_only_observes_and_reports_nothing_has_two_warnings(zone, resolver):
    zone.texts["_dmarc.example.com"] = ["v=DMARC1; p=none"]
    assert [status for status, _ in examine(resolver)] == [Status.WARNING, Status.WARNING]


def test_a_broken_dns_server_says_nothing_about_the_record(zone, resolver):
    zone.texts["_dmarc.example.com"] = None
    assert [status for status, _ in examine(resolver)] == [Status.UNCHECKED]
