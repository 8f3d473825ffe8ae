"""Where a text can be cut: between two characters as its reader sees them (UAX 29)."""

import unicodedata
from collections.abc import Callable

ZERO_WIDTH_JOINER = "\u200d"
VIRAMA = 9
"""The combining class of signs that join two consonants of Indic scripts."""
EXTENDING = frozenset("\u200c\u0e33\u0eb3\uff9e\uff9f")
"""Characters that extend the one before, although their category does not say so."""
PREPENDED = frozenset(
    "\u0d4e\U000111c2\U000111c3\U0001193f\U00011941\U00011a3a\U00011d46\U00011f02"
    + "".join(map(chr, range(0x11A84, 0x11A8A)))
)
"""Letters that belong to the next one."""
# More characters that belong together are no letter or emoji of any language.
MAX_CLUSTER = 32


def find_boundary(text: str, end: int) -> int:
    """Return the last place up to ``end`` at which no character that consists of several code points is cut."""
    if end >= len(text):
        return len(text)
    for place in range(end, max(0, end - MAX_CLUSTER), -1):
        if not _joins(text, place):
            return place
    return 0 if end <= MAX_CLUSTER else end


def find_limit(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number of characters up to ``most`` that fits."""
    if fits(most):
        return most
    low, high = 0, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _joins(text: str, place: int) -> bool:
    """Return whether the code points before and after a place belong to one character.

    It joins more than UAX 29 in rare cases, so that a text is cut a little earlier.
    """
    before, after = text[place - 1], text[place]
    if after == ZERO_WIDTH_JOINER or before == ZERO_WIDTH_JOINER or after in EXTENDING:
        return True
    if before == "\r" and after == "\n":
        return True
    if unicodedata.combining(before) == VIRAMA and after.isalpha():
        return True
    if _is_regional(before) and _is_regional(after):
        # Flags are pairs.
        count = 0
        while count < place and _is_regional(text[place - 1 - count]):
            count += 1
        return count % 2 == 1
    return (
        unicodedata.category(after) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or "\U000e0020" <= after <= "\U000e007f"
        or _is_vowel_or_final(after)
        or _is_initial(before)
        or _is_prepended(before)
    )


def _is_regional(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def _is_initial(letter: str) -> bool:
    """Return whether a letter is an initial consonant of Hangul."""
    return "\u1100" <= letter <= "\u115f" or "\ua960" <= letter <= "\ua97c"


def _is_vowel_or_final(letter: str) -> bool:
    """Return whether a letter is a vowel or a final consonant of Hangul."""
    return "\u1160" <= letter <= "\u11ff" or "\ud7b0" <= letter <= "\ud7fb"


def _is_prepended(letter: str) -> bool:
    """Return whether a character is shown together with the next one, such as the sign of a number in Arabic."""
    if letter in PREPENDED:
        return True
    return letter > "\u05ff" and unicodedata.category(letter) == "Cf" and not "\u200b" <= letter <= "\ufeff"
