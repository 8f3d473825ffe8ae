"""The pictures of the documentation show what the channels send."""

import re

import pytest

from tests.channels.sms_picture import FOLDER, write_texts

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]


@pytest.mark.parametrize(("page", "number"), [("sms", 0), ("voice", 1)])
def test_the_words_of_a_picture_are_those_of_the_message(page, number):
    described = re.search(rf"!\[([^\]]+)\]\(images/{page}\.png\)", (FOLDER.parent / f"{page}.md").read_text())[1]
    assert described.endswith(f": {' '.join(write_texts()[number].split())}")
    assert 1000 < (FOLDER / f"{page}.png").stat().st_size <= 40_000
