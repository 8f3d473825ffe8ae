"""Magic links in a browser: opening one changes nothing, and no other site learns its address."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.urls import reverse

from notifications.magic_links import Purpose
from notifications.models import Cluster, MagicLink
from tests.browser.gallery import ENVIRONMENT, press_button, store_link
from tests.factories import UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels", "pywebpush"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
# An image, and a link that is followed: what a theme of the site can add to a page.
LOOK_ELSEWHERE = """async (url) => {
  const image = new Image();
  const done = new Promise((resolve) => { image.onload = image.onerror = resolve; });
  image.src = `${url}/image`;
  await done;
}"""


@pytest.fixture
def site_environment():
    # The policy of the host would not let any request leave.
    return ENVIRONMENT


@pytest.fixture
def canary():
    """A server of somebody else: its address, and the path and Referer of each request."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get("Referer"), self.headers.get("Origin")))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def browser(chromium, site):
    """A browser in which nobody is signed in, and which no policy hinders."""
    context = chromium.new_context(base_url=site.url, bypass_csp=True)
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def path(browser):
    """The path of a new link."""
    link = store_link(UserFactory(), Cluster.objects.default(), Purpose.NOTIFICATION_STATUS)
    return reverse("notifications:magic-link", args=[f"{link}/"])


def is_valid():
    return MagicLink.objects.get().used_at is None


def test_opening_a_link_leaves_it_valid_and_pressing_the_button_uses_it_up(browser, path):
    first, second = browser.new_page(), browser.new_page()
    for page in (first, second, first):
        page.goto(path, wait_until="networkidle")
        page.reload(wait_until="networkidle")
    assert is_valid()
    press_button(first)
    assert first.locator("h1").inner_text() == "What was sent to me"
    assert path.split("/")[-2] not in first.url
    assert not is_valid()
    press_button(second)
    assert second.locator("h1").inner_text() == "This link is not valid"
    first.go_back(wait_until="networkidle")
    press_button(first)
    assert first.locator("h1").inner_text() == "This link is not valid"


def test_no_other_site_learns_the_address(browser, path, canary):
    url, requests = canary
    page = browser.new_page()
    page.goto(path)
    page.evaluate(LOOK_ELSEWHERE, url)
    press_button(page)
    page.evaluate(LOOK_ELSEWHERE, url)
    page.evaluate("(url) => location.assign(`${url}/link`)", url)
    page.wait_for_timeout(500)
    assert [path for path, *_ in requests if path != "/favicon.ico"] == ["/image", "/image", "/link"]
    assert {referer for _path, referer, _origin in requests} == {None}


def test_the_site_itself_gets_no_referer_with_the_link(browser, path):
    """It would stand in the access log, next to the request of the style sheet."""
    page, referers = browser.new_page(), []
    page.on("request", lambda request: referers.append(request.all_headers().get("referer")))
    page.goto(path, wait_until="networkidle")
    press_button(page)
    assert len(referers) > 2
    assert set(referers) <= {None, ""}
