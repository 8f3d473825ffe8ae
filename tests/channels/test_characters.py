"""Where texts are cut, compared with the rules of Unicode that the library regex implements."""

import random
import sys
import unicodedata

import pytest
import regex

from notifications.channels.characters import MAX_CLUSTER, find_boundary

pytestmark = pytest.mark.one_database
PARTS = [
    "a", "1", " ", "\n", "\r\n", "é", "e\u0301", "👨‍👩‍👧", "👩🏽‍🚒", "🇩🇪", "🇫", "❤️", "각", "\u1100\u1161\u11a8", "क्षि",
    "நி", "กำ", "\u0600", "\U000110bd", "\u0d4e", "\u200c", "\u200d", "\u0300", "ﾞ", "عَ",
    "🏴\U000e0067\U000e0062\U000e007f",
]  # fmt: skip


def find_wrong_places(text):
    allowed = {0, *(match.end() for match in regex.finditer(r"\X", text))}
    return [end for end in range(len(text) + 1) if find_boundary(text, end) not in allowed]


def test_no_character_is_cut_in_any_mixture():
    chance = random.Random(3)
    for _ in range(1000):
        text = "".join(chance.choices(PARTS, k=chance.randint(1, 8)))
        assert find_wrong_places(text) == [], ascii(text)


def test_no_letter_of_the_basic_plane_is_cut():
    letters = map(chr, range(0x20, 0xFFFF))
    # Python and the library may know different versions of Unicode.
    known = [letter for letter in letters if unicodedata.category(letter) not in ("Cn", "Co", "Cs", "Cc")]
    wrong = [letter for letter in known if find_wrong_places(f"a{letter}b")]
    assert [ascii(letter) for letter in wrong] == []


def test_a_text_is_cut_as_late_as_possible():
    text = "👩🏽‍🚒" * 3
    assert [find_boundary(text, end) for end in range(len(text) + 1)] == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12]
    assert find_boundary("abc", sys.maxsize) == 3


def test_a_pile_of_marks_is_cut_anyway():
    assert find_boundary("e" + "\u0301" * 500, 100) == 100
    assert find_boundary("e" + "\u0301" * 500, MAX_CLUSTER) == 0
