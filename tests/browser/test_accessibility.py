"""axe-core finds no violation on any page, in either colour scheme, from left to right and from right to left."""

from itertools import product

import pytest

from tests.browser.gallery import ENVIRONMENT, HEIGHTS, LANGUAGES, OPTIONS, SCHEMES, WIDTHS, fill, open_page

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("axe_playwright_python", "playwright", "uvicorn", "channels", "pywebpush", "requests_hardened"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
SIZES = [{"width": width, "height": HEIGHTS[width]} for width in WIDTHS]
RUN = """async (rules) => {
  // The admin fades from the colours of one scheme to those of the other.
  await Promise.all(document.getAnimations().map((one) => one.finished));
  const only = rules.length ? { runOnly: { type: 'rule', values: rules } } : {};
  const { violations } = await axe.run({ reporter: 'no-passes', preload: false, ...only });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, html }) => `${id} ${target} ${html.slice(0, 99)}`));
}"""
# In the other scheme, a page of the same size differs by its colours only.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]


@pytest.fixture
def site_environment():
    return ENVIRONMENT


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_no_violation_and_no_page_scrolls_sideways(language, visit, settings):
    """Each page is loaded once, and looked at in each size and colour scheme."""
    from axe_playwright_python.base import AXE_SCRIPT

    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **OPTIONS}
    user, pages = fill()
    page = visit(user, locale=language, reduced_motion="reduce").new_page()
    found = []
    for name, (path, prepare) in pages.items():
        page.set_viewport_size(SIZES[0])
        open_page(page, path, prepare)
        page.evaluate(AXE_SCRIPT)
        for size, scheme in product(SIZES, SCHEMES):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            look = f"{name}, {language}, {scheme}, {size['width']} px"
            rules = [] if scheme == SCHEMES[0] else COLOUR_RULES
            found += [f"{look}: {violation}" for violation in page.evaluate(RUN, rules)]
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{look}: scrolls sideways")
        if name == "bell":
            assert page.locator("notification-bell .panel").is_visible()
    assert not found, "\n".join(found)
