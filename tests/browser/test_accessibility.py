"""axe-core finds no violation on any page, in either colour scheme, from left to right and from right to left."""

import pytest

from tests.browser.gallery import ENVIRONMENT, fill, open_page

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("axe_playwright_python", "playwright", "uvicorn", "channels", "pywebpush"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]


@pytest.fixture
def site_environment():
    return ENVIRONMENT


@pytest.mark.parametrize(("scheme", "width", "language"), [("light", 360, "ar"), ("dark", 1280, "de")])
def test_axe_finds_no_violation_and_no_page_scrolls_sideways(scheme, width, language, visit):
    from axe_playwright_python.sync_playwright import Axe

    user, pages = fill()
    viewport = {"width": width, "height": 800}
    context = visit(user, color_scheme=scheme, viewport=viewport, locale=language, reduced_motion="reduce")
    found, page = [], context.new_page()
    for name, (path, prepare) in pages.items():
        open_page(page, path, prepare)
        found += [
            f"{name}: {violation['id']} {node['target']} {node['html'][:120]}"
            for violation in Axe().run(page).response["violations"]
            for node in violation["nodes"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{name} scrolls sideways")
    assert not found, "\n".join(found)
