"""The length of an SMS in segments, and where a long text is cut."""

import random

import pytest
import regex

from notifications.channels.sms_text import clean, fit, measure, transliterate

pytestmark = pytest.mark.one_database
FAMILY, FLAG, ACCENTED = "👨‍👩‍👧‍👦", "🇩🇪", "e\u0323\u0302"
LINK = "https://shop.example.com/orders/42"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€[]{}~^|\\", "GSM-7", 18, 1),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        # A character of two units does not begin in one segment and end in the next.
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),
        ("äöüß\nÄÖÜ@ñ", "GSM-7", 10, 1),
        ("ç", "UCS-2", 1, 1),
        ("日" * 70, "UCS-2", 70, 1),
        ("日" * 71, "UCS-2", 71, 2),
        ("😀" * 35, "UCS-2", 70, 1),
        # 67 is odd, so a pair that would be split begins the next segment.
        ("😀" * 67, "UCS-2", 134, 3),
        ("日" + "😀" * 66, "UCS-2", 133, 2),
        ("€" + "日" * 69, "UCS-2", 70, 1),
    ],
)
def test_the_length_is_counted_in_segments(text, encoding, units, segments):
    length = measure(text)
    assert (length.encoding, length.units, length.segments) == (encoding, units, segments)


def test_what_an_sms_cannot_contain_is_removed():
    assert clean("a\x00b\x1b[31m\r\nc\td\u2028e \n") == "ab[31m\nc d\ne"
    assert clean("half \ud83d a pair") == "half \ufffd a pair"
    assert clean("Ko\u0308ln") == "Köln"
    assert measure(clean("Ko\u0308ln")).encoding == "GSM-7"


def test_characters_are_replaced_only_if_that_makes_the_text_shorter():
    text = "“Ça va” – it’s 5 °… żółć"
    assert transliterate("“Ça va” – it’s…") == '"Ça va" - it\'s...'
    assert transliterate("ç żółć œ") == "c zolc oe"
    assert transliterate(text) == text, "a degree sign has no similar character"
    assert transliterate("“日本”") == "“日本”"


def test_a_long_text_ends_with_an_ellipsis_of_its_encoding():
    assert fit("a" * 161, 1) == "a" * 157 + "..."
    assert fit("日" * 71, 1) == "日" * 69 + "…"
    assert measure(fit("a" * 5000, 3)).units == 3 * 153
    assert fit("a" * 160, 1) == "a" * 160


def test_the_link_at_the_end_is_kept():
    text = fit(f"{'word ' * 100}\n\n{LINK}", 1)
    assert text.endswith(f"...\n\n{LINK}")
    assert measure(text).segments == 1
    assert fit(f"{'日' * 100} {LINK}", 1).endswith(f"日… {LINK}")


def test_a_link_that_leaves_no_room_is_sent_alone():
    link = "https://example.com/" + "x" * 139
    assert fit(f"Some words {link}", 1) == link


def test_a_link_that_is_too_long_is_left_out_and_never_cut():
    link = "https://example.com/" + "x" * 300
    assert fit(f"{'word ' * 50}{link}", 1) == "word " * 31 + "wo..."
    with pytest.raises(ValueError, match="only a link, which needs 3 segments, and max_segments is 1"):
        fit(link, 1)


@pytest.mark.parametrize("cluster", [FAMILY, FLAG, ACCENTED, "👍🏽", "각"])
def test_no_character_is_cut_in_two(cluster):
    text = cluster * 60
    for start in range(12):
        kept = fit("x" * start + text, 1).removesuffix("…")[start:]
        assert kept
        assert kept == cluster * (len(kept) // len(cluster))


def test_one_character_that_is_longer_than_an_sms_is_cut():
    text = fit("e" + "\u0301\u0323" * 500, 1)
    assert measure(text).segments == 1
    assert len(text) == 70


def test_any_text_fits_and_is_as_long_as_possible():
    chance = random.Random(7)
    letters = ["a", "é", "€", "[", " ", "\n", "日", FAMILY, FLAG, ACCENTED, "https://x.example/ab "]
    for _ in range(150):
        text = clean("".join(chance.choices(letters, k=chance.randint(1, 300))))
        limit = chance.randint(1, 4)
        short = fit(text, limit) if text else ""
        assert measure(short).segments <= limit
        if short != text and "https" not in text:
            kept = len(regex.findall(r"\X", short)) - (3 if short.endswith("...") else 1)
            longer = "".join(regex.findall(r"\X", text)[: kept + 4])
            assert short.rstrip(".…") == text[: len(short.rstrip(".…"))]
            assert measure(longer + "...").segments > limit
