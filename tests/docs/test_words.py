"""The documentation, the messages and the code use plain words. The glossary says which."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "notifications", "example_project")
SUFFIXES = {".md", ".py", ".html", ".txt"}
AVOIDED = {
    "told": "recorded, reported, given",
    "besides": "also, in addition",
    "hereby": "",
    "thereof": "its",
    "whosoever": "everyone who",
    r"is no \w+ of": "is not a … of",
    "of which nothing": "none of which",
    "has the word": "decides",
    "speaks against": "counts against",
    "of its own accord": "automatically",
    "all the same": "anyway",
    "as it comes": "with the default settings",
}
PATTERN = re.compile("|".join(rf"\b{words}\b" for words in AVOIDED), re.IGNORECASE)


def pages():
    for place in PLACES:
        path = ROOT / place
        for page in [path] if path.is_file() else path.rglob("*"):
            if page.suffix in SUFFIXES and "_build" not in page.parts:
                yield page


def test_the_words_to_avoid_do_not_occur():
    found = [
        f"{page.relative_to(ROOT)}:{number}: {match[0]}"
        for page in pages()
        for number, line in enumerate(page.read_text().splitlines(), 1)
        for match in PATTERN.finditer(line)
    ]
    assert found == []
