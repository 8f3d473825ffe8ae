"""A real Chromium, and a host in a process of its own."""

import shutil

import pytest

from tests.live.site import Site, sign_in


@pytest.fixture
def chromium(monkeypatch):
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop in this thread, in which Django refuses queries.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def reports(tmp_path):
    """The file with the reports of violations of the policy."""
    return tmp_path / "reports"


@pytest.fixture
def site_kind():
    return "asgi"


@pytest.fixture
def site_environment():
    """Further environment variables of the host."""
    return {}


@pytest.fixture
def site(transactional_db, reports, site_kind, site_environment):
    site = Site(site_kind, KLAXON_CSP_REPORTS=str(reports), **site_environment)
    site.start()
    yield site
    site.kill()


@pytest.fixture
def visit(chromium, site):
    """Open a browser in which a user is signed in."""
    contexts = []

    def open_browser(user, **options):
        context = chromium.new_context(base_url=site.url, **options)
        context.set_default_timeout(10_000)
        context.add_cookies([{"name": "sessionid", "value": sign_in(user), "url": site.url}])
        contexts.append(context)
        return context

    yield open_browser
    for context in contexts:
        context.close()
