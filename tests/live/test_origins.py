"""Foreign pages: the same origins are allowed as for Django's CSRF protection."""

import pytest
from django.test import RequestFactory

from notifications.live.origins import is_foreign


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "https://shop.example.com"}, False),
        ({"origin": "http://shop.example.com"}, True),
        ({"origin": "https://shop.example.com:8443"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "https://admin.example.com"}, False),
        ({"origin": "https://a.b.example.org"}, False),
        ({"origin": "http://a.example.org"}, True),
        ({"origin": "https://example.org.evil.example"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
    ],
    ids=str,
)
def test_a_page_of_another_origin_is_foreign(headers, foreign, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://admin.example.com", "https://*.example.org"]
    request = RequestFactory().get("/", headers={"host": "shop.example.com", **headers}, secure=True)
    assert is_foreign(request) is foreign


def test_a_websocket_without_an_origin_is_foreign():
    request = RequestFactory().get("/", headers={"host": "shop.example.com"})
    assert is_foreign(request, requires_origin=True)
