"""The text of an SMS: its length in segments, and how a long one is cut.

A text that consists of the characters of GSM-7 (3GPP TS 23.038, 6.2.1) has 160 of them in one segment, or 153 in each
of several. The characters of its extension table count as two. Any other text is UCS-2: 70 code units, or 67 in each of
several segments. No segment ends within a character of two units. All functions here are pure.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from notifications.channels.characters import find_boundary, find_limit

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("^{}\\[~]|€")
GSM_7, UCS_2 = "GSM-7", "UCS-2"
UNITS = {GSM_7: (160, 153), UCS_2: (70, 67)}
"""The units of a single segment, and of each of several."""
ELLIPSES = {GSM_7: "...", UCS_2: "…"}
LINK_AT_END = re.compile(r"(?:^|(?<=\s))https?://\S+\Z")
LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
SURROGATES = re.compile("[\ud800-\udfff]")
REPLACEMENTS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛‹›′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f", " "),
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff", ""),
        **dict.fromkeys("•·", "*"),
        "…": "...",
        "×": "x",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "œ": "oe",
        "Œ": "OE",
        "ẞ": "SS",
    }
)


@dataclass(frozen=True)
class SMSLength:
    """The length of a text: its encoding, :data:`GSM_7` or :data:`UCS_2`, its units, and the segments it is sent in."""

    encoding: str
    units: int
    segments: int


def measure(text: str) -> SMSLength:
    """Return the length of a text, which must be clean; see :func:`clean`."""
    is_gsm = GSM_BASIC.issuperset(set(text) - GSM_EXTENSION)
    encoding = GSM_7 if is_gsm else UCS_2
    costs = [2 if (letter in GSM_EXTENSION if is_gsm else letter > "\uffff") else 1 for letter in text]
    units, (single, each) = sum(costs), UNITS[encoding]
    return SMSLength(encoding, units, 1 if units <= single else _count_segments(costs, each))


def _count_segments(costs: Sequence[int], size: int) -> int:
    segments, used = 1, 0
    for cost in costs:
        if used + cost > size:
            segments, used = segments + 1, 0
        used += cost
    return segments


def clean(text: str) -> str:
    """Return a text without what an SMS cannot contain: control characters and halves of surrogate pairs.

    Accents are composed, because GSM-7 has ``é`` but no combining accents.
    """
    lines = LINE_ENDS.sub("\n", SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)).replace("\t", " ")
    kept = "".join(letter for letter in lines if letter == "\n" or unicodedata.category(letter) != "Cc")
    return unicodedata.normalize("NFC", kept).strip()


def transliterate(text: str) -> str:
    """Return a text with similar characters of GSM-7, or the text itself if some have none."""
    replaced = "".join(letter if _is_gsm(letter) else _find_similar(letter) for letter in text)
    return replaced if measure(replaced).encoding == GSM_7 else text


def _is_gsm(letter: str) -> bool:
    return letter in GSM_BASIC or letter in GSM_EXTENSION


@lru_cache(maxsize=1024)
def _find_similar(letter: str) -> str:
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return letter.translate(REPLACEMENTS) if ord(letter) in REPLACEMENTS else plain


def fit(text: str, max_segments: int) -> str:
    """Return a clean text, cut if it needs more segments than allowed.

    It is cut between two characters as its reader sees them, and ends with an ellipsis. A link at its end is kept, or
    left out if there is no room for it, but it is never cut.

    :raises ValueError: if the text is only a link that is too long.
    """
    if measure(text).segments <= max_segments:
        return text
    found = LINK_AT_END.search(text)
    words, link = (text[: found.start()].rstrip(), found[0]) if found else (text, "")
    if link and measure(link).segments <= max_segments:
        gap = text[len(words) : len(text) - len(link)].lstrip(" ") or " "
        return _cut(words, gap + link, max_segments) or link
    if words:
        return _cut(words, "", max_segments)
    raise ValueError(
        f"The text is only a link, which needs {measure(link).segments} segments, and max_segments is {max_segments}. "
        "Shorten the link, or increase max_segments."
    )


def _cut(words: str, end: str, max_segments: int) -> str:
    """Return the longest beginning that fits together with an ellipsis and the end; empty if not even one does."""
    longest = _find_longest(words, end, max_segments, find_boundary)
    # One character can be longer than an SMS.
    return longest or ("" if end else _find_longest(words, end, max_segments, lambda _words, length: length))


def _find_longest(words: str, end: str, max_segments: int, find_place: Callable[[str, int], int]) -> str:
    """Return the longest text. A longer beginning never needs fewer segments."""

    def cut(length: int) -> str:
        place = find_place(words, length)
        return _shorten(words[:place], end) if place else ""

    # An empty text fits.
    return cut(find_limit(len(words), lambda length: measure(cut(length)).segments <= max_segments))


def _shorten(words: str, end: str) -> str:
    kept = words.rstrip()
    return kept + ELLIPSES[measure(kept + end).encoding] + end
