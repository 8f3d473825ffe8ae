"""The catalogues of translations: ``python -m tests.catalogues`` updates them from the sources and compiles them.

They contain what users see: the pages, the emails, the bell, and the words of ``explain()``. The admin and whatever
else only staff sees stays in English. It needs gettext.
"""

import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import notifications

PACKAGE = Path(notifications.__file__).parent
LANGUAGES = {
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)",
    "de": "nplurals=2; plural=(n != 1)",
    "es": "nplurals=2; plural=(n != 1)",
    "fr": "nplurals=2; plural=(n > 1)",
}
FOR_STAFF = (
    *("admin/", "apps.py", "can/", "celery", "checks/", "conf/", "email_setup/", "escalation/unreachable.py"),
    *("management/", "models/"),
    *("staff_templates/", "templates/admin/", "testing/", "tracking/"),
)
"""Where a text comes from that only staff sees."""
FOR_USERS = ("models/mute.py", "models/preferences.py", "models/settings.py", "models/validation.py")
"""Models whose labels and errors the preference centre shows."""


def is_for_users(path):
    return path.startswith(FOR_USERS) or not path.startswith(FOR_STAFF)


def extract():
    """Return a catalogue of the texts for users, without translations."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "notifications"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "locale"))
        (copy / "locale").mkdir()
        command = ["makemessages", "--locale=de", "--extension=html,txt,py"]
        done = subprocess.run(
            [sys.executable, "-m", "django", *command], cwd=copy, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found = read_po(BytesIO((copy / "locale" / "de" / "LC_MESSAGES" / "django.po").read_bytes()))
    wanted = Catalog(charset="utf-8")
    for message in found:
        paths = [path for path, _line in message.locations]
        if message.id and any(map(is_for_users, paths)):
            # Without lines, a catalogue changes only if a text does.
            places = sorted({(path, None) for path in paths})
            wanted.add(message.id, locations=places, flags=message.flags, context=message.context)
    return wanted


def get_path(language, suffix="po"):
    return PACKAGE / "locale" / language / "LC_MESSAGES" / f"django.{suffix}"


def read(language):
    """Return the catalogue of a language."""
    catalogue = read_po(BytesIO(get_path(language).read_bytes()), locale=language)
    # The same texts are always compiled to the same bytes.
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    return catalogue


def compile_catalogue(catalogue):
    """Return the compiled form of a catalogue."""
    target = BytesIO()
    write_mo(target, catalogue)
    return target.getvalue()


def update(language, wanted):
    """Write the catalogue of a language with the texts of the sources and the translations that it has."""
    path = get_path(language)
    old = read(language) if path.exists() else Catalog(locale=language)
    new = Catalog(locale=language, charset="utf-8", header_comment=f"# django-klaxon: {language}", fuzzy=False)
    for message in wanted:
        if message.id:
            known = old.get(message.id, message.context)
            values = {"locations": message.locations, "flags": message.flags - {"fuzzy"}, "context": message.context}
            new.add(message.id, known.string if known else None, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    target = BytesIO()
    write_po(target, new, width=120, sort_by_file=True, include_previous=False)
    text = target.getvalue().decode()
    head, separator, rest = text.partition("\n\n")
    path.write_text(make_header(language) + separator + rest)
    get_path(language, "mo").write_bytes(compile_catalogue(read(language)))


def make_header(language):
    return (
        'msgid ""\nmsgstr ""\n"Project-Id-Version: django-klaxon\\n"\n'
        f'"Language: {language}\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        f'"Content-Transfer-Encoding: 8bit\\n"\n"Plural-Forms: {LANGUAGES[language]};\\n"'
    )


def main():
    wanted = extract()
    for language in LANGUAGES:
        update(language, wanted)
        missing = [message.id for message in read(language) if message.id and not is_translated(message)]
        print(f"{language}: {len(wanted)} texts, {len(missing)} without a translation")


def is_translated(message):
    return all(message.string) if isinstance(message.string, tuple) else bool(message.string)


if __name__ == "__main__":
    main()
