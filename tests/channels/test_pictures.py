"""The pictures of messages in the documentation."""

from pathlib import Path

import pytest

from tests.channels.pictures import FOLDER, make_pages

pytestmark = [pytest.mark.needs("requests", "apprise", "playwright"), pytest.mark.one_database]
MOST_BYTES = 40_000
DOCS = Path(__file__).parents[2] / "docs/channels"


def test_each_channel_has_a_small_picture_of_a_message_that_it_makes():
    for name, page in make_pages().items():
        picture = (FOLDER / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) <= MOST_BYTES
        assert f"](images/{name}.png)" in (DOCS / f"{name}.md").read_text()
        assert "Pump 3 has stopped" in page
        assert "https://shop.example.com/manuals/pump_3/" in page
