"""What a newcomer gets wrong, and the answer that each mistake gets: short, and naming what to change."""

import re


def is_one_clear_answer(text: str) -> bool:
    """Short words of ours that end like a sentence, not those of Python about its own objects."""
    objects = re.search(r"object at 0x|NoneType|object is not|positional argument|got an unexpected", text)
    return len(text) < 400 and "\n" not in text and text.endswith((".", "?", ")")) and not objects
