"""A real Chromium, and a host in a process of its own."""

import shutil
from pathlib import Path

import pytest
from django.db import connections

from tests.live.site import Sites, sign_in, wait_until_idle


@pytest.fixture(scope="package")
def chromium(django_db_setup, django_db_blocker):
    """One browser for all tests of this folder.

    Until it closes, Playwright runs an event loop in this thread. Django refuses queries there, and has connections of
    its own for it.
    """
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()
        with django_db_blocker.unblock():
            connections.close_all()


@pytest.fixture(scope="package")
def sites(django_db_setup, tmp_path_factory):
    sites = Sites(KLAXON_CSP_REPORTS=str(tmp_path_factory.mktemp("policy") / "reports"))
    yield sites
    sites.kill()


@pytest.fixture
def reports(sites):
    """The file with the reports of violations of the policy. There is none before the test."""
    path = Path(sites.more["KLAXON_CSP_REPORTS"])
    path.unlink(missing_ok=True)
    return path


@pytest.fixture
def site_kind():
    return "asgi"


@pytest.fixture
def site_environment():
    """Further environment variables of the host."""
    return {}


@pytest.fixture
def site(chromium, transactional_db, sites, site_kind, site_environment):
    yield sites.run(site_kind, **site_environment)
    wait_until_idle()


@pytest.fixture
def visit(chromium, site):
    """Open a browser in which a user is signed in."""
    contexts = []

    def open_browser(user, **options):
        context = chromium.new_context(base_url=site.url, **options)
        context.set_default_timeout(30_000)
        context.add_cookies([{"name": "sessionid", "value": sign_in(user), "url": site.url}])
        contexts.append(context)
        return context

    yield open_browser
    for context in contexts:
        context.close()
