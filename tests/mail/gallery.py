"""``python -m tests.mail.gallery FOLDER``: look at the emails of the example apps, and let other programs judge them.

Writes each email as a file and pictures of all of them: 360 and 1200 pixels wide, light, dark and inverted. Then prints
for each email the lowest contrast of a text, the defects that parsers find, and its score in SpamAssassin. At the end
come the features that ``caniemail`` finds unsupported in Gmail, Outlook and Apple Mail.

Programs: ``chromium``, ``spamassassin``, Perl with ``MIME::Parser`` (Debian: ``libmime-tools-perl``), and ``node`` with
the package ``caniemail`` in the folder that ``NODE_PATH`` names. The column of a missing program is ``-``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
# By width of the mails: the zoom, the number of mails of a picture, and the size of the picture.
SHEETS = {360: (1.0, 8, (1520, 2000)), 1200: (0.5, 6, (1900, 1500))}
MODES = ("light", "dark", "inverted")
MAX_SPAM_SCORE, MIN_CONTRAST = 1.0, 4.5
PARSE = """
use MIME::Parser; my $parser = MIME::Parser->new; $parser->output_to_core(1);
$parser->extract_nested_messages(0);
my $mail = $parser->parse(\\*STDIN);
print join("; ", $parser->results->msgs, map { $_->mime_type } $mail->parts), "\\n";
"""
ENHANCEMENTS = re.compile(
    r'<style data-css-inline="ignore">.*?</style>|<meta name="(?:supported-)?color-schemes?"[^>]*>', re.DOTALL
)
CLIENTS = ["gmail.*", "outlook.!(windows-mail)", "apple-mail.*"]
CANIEMAIL = """
const {caniemail} = require('caniemail'), fs = require('fs');
const result = caniemail({clients: JSON.parse(process.argv[1]), html: fs.readFileSync(0, 'utf8')});
const list = map => [...map].flatMap(([client, issues]) => issues.map(issue => [issue.title, client]));
console.log(JSON.stringify({errors: list(result.issues.errors), warnings: list(result.issues.warnings)}));
"""


def main(folder: Path) -> int:
    mails = collect_in_database()
    folder.mkdir(parents=True, exist_ok=True)
    for mail in mails:
        (folder / f"{mail.name}.eml").write_bytes(mail.content)
        (folder / f"{mail.name}.html").write_text(mail.html)
    take_pictures(mails, folder)
    contrasts, scores = measure_contrasts(mails), score(mails)
    failed = False
    print(f"{'mail':32} {'bytes':>7} {'contrast':>8} {'spam':>5}  parsers")
    for mail in mails:
        defects = [*find_defects(mail.message), *parse_with_perl(mail.content)]
        contrast, spam = contrasts[mail.name], scores.get(mail.name)
        failed |= bool(defects) or contrast < MIN_CONTRAST or (spam is not None and spam > MAX_SPAM_SCORE)
        shown = "-" if spam is None else f"{spam:.1f}"
        print(f"{mail.name:32} {len(mail.content):7} {contrast:8.2f} {shown:>5}  {'; '.join(defects) or 'no defects'}")
    print(*find_unsupported(mails), sep="\n")
    return int(failed)


def collect_in_database():
    from django.db import connection

    from tests.mail.examples import collect_mails

    name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        return collect_mails()
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def take_pictures(mails, folder):
    from tests.mail.browser import take_picture

    for width, (zoom, count, size) in SHEETS.items():
        for mode in MODES:
            for start in range(0, len(mails), count):
                path = folder / f"{width}-{mode}-{start}.png"
                take_picture([mail.html for mail in mails[start : start + count]], path, width, mode, zoom, size)


def measure_contrasts(mails):
    """Return the lowest contrast by name, over all widths and modes. Fails if something is cut."""
    from tests.mail.browser import measure

    lowest = {}
    pages = {mail.name: mail.html for mail in mails}
    for width in SHEETS:
        for is_dark in (False, True):
            for found in measure(pages, width, is_dark):
                assert found["overflow"] <= 0, f"{found['name']} is {found['overflow']} pixels too wide at {width}."
                lowest[found["name"]] = min(lowest.get(found["name"], 21), found["worst"], found["inverted"])
    return lowest


def find_defects(message):
    for part in message.walk():
        yield from (f"python: {defect!r}" for defect in part.defects)
        for name, value in part.items():
            yield from (f"python: {name}: {defect!r}" for defect in value.defects)


def parse_with_perl(content):
    """Yield what MIME::Parser complains about, or what is wrong with the parts that it finds."""
    if not is_available("perl", "-MMIME::Parser", "-e1"):
        return
    output = subprocess.run(["perl", "-e", PARSE], input=content, capture_output=True, check=True).stdout
    found = output.decode().strip()
    if found != "text/plain; text/html":
        yield f"perl: {found}"


def score(mails):
    """Return the score of each mail in SpamAssassin with its offline rules."""
    if shutil.which("spamassassin") is None:
        return {}
    scores = {}
    for mail in mails:
        command = ["spamassassin", "-L", "-t"]
        output = subprocess.run(command, input=mail.content, capture_output=True, check=True).stdout
        scores[mail.name] = float(re.search(rb"score=(-?[\d.]+)", output)[1])
    return scores


def find_unsupported(mails):
    """Yield the features that a client does not support, apart from those that clients may ignore.

    These are in the ``<style>`` elements of the layout: the dark mode, rounded corners, smaller margins on a phone.
    Windows Mail is left out, because Microsoft has ended it.
    """
    if not is_available("node", "-e", "require('caniemail')"):
        yield "caniemail: -"
        return
    counted = {"errors": {}, "warnings": {}}
    for mail in mails:
        command = ["node", "-e", CANIEMAIL, json.dumps(CLIENTS)]
        html = ENHANCEMENTS.sub("", mail.html)
        output = subprocess.run(command, input=html, capture_output=True, text=True, check=True).stdout
        for kind, issues in json.loads(output).items():
            for title, client in issues:
                counted[kind].setdefault(title, set()).add(client)
    for kind, titles in counted.items():
        yield f"caniemail: {len(titles)} {kind}"
        yield from (f"  {title}: {', '.join(sorted(clients))}" for title, clients in sorted(titles.items()))


def is_available(*command):
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


if __name__ == "__main__":
    django.setup()
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/mails")))
