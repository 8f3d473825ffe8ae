"""The suite on SQLite for each supported pair of Python and Django whose interpreter is found.

    python -m tests.matrix                 every pair, the whole suite
    python -m tests.matrix --newest        the newest Python that is found, with the newest Django
    python -m tests.matrix --newest --core the same, without what is slow and what does not depend on either

Each pair has an environment of its own, ``.venv-3.13-6.1`` for instance. Interpreters are looked for on the PATH and
among those of pyenv. Only the standard library is used here: this file runs outside of any of those environments.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Django 6.0 and 6.1 need Python 3.12.
PAIRS = [("3.11", "5.2"), *((python, django) for python in ("3.12", "3.13") for django in ("5.2", "6.0", "6.1"))]
# The other extras are reserved: nothing imports what they would bring.
EXTRAS = (
    "anymail,bounces,can,celery,dns,encryption,environ,formats,mail,metrics,push,realtime,staff-templates,tracing,test"
)
SETTINGS = ("tests.settings", "tests.tenant_site.settings", "example_project.settings")
# What depends on the machine or on an algorithm, and on neither Python nor Django.
NOT_CORE = (
    "alarm", "benchmarks", "browser", "can", "celery", "chaos", "coach", "delivering/limits", "delivering/providers",
    "delivering/test_*", "delivering/workers", "demo", "digests", "docs", "estate", "packaging", "properties",
    "quality", "races", "residency", "retention", "sending/gates", "spool",
    "api/test_generated.py", "escalation/test_killed.py", "escalation/test_rota.py",
    "channels/test_answers.py", "channels/test_smtp_matrix.py", "channels/test_smtp_replies.py",
    "channels/test_all_channels.py", "channels/test_apprise.py", "channels/test_characters.py",
    "channels/test_chat_*", "channels/test_discord.py", "channels/test_http*", "channels/test_pushover.py",
    "channels/test_slack.py", "channels/test_sms_*", "channels/test_teams.py", "channels/test_twilio.py",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the suite on each pair of Python and Django.")
    parser.add_argument("--newest", action="store_true", help="only the newest Python found, with the newest Django")
    parser.add_argument("--core", action="store_true", help="leave out what is slow or depends on neither")
    options = parser.parse_args()
    found = [(python, django, path) for python, django in PAIRS if (path := find_interpreter(python))]
    for python in sorted({python for python, _django in PAIRS} - {python for python, _django, _path in found}):
        say(f"Python {python} was not found; its pairs are left out.")
    if not found:
        return 1
    passed = {
        f"{python} and {django}": run(python, django, path, options.core)
        for python, django, path in (found[-1:] if options.newest else found)
    }
    for pair, good in passed.items():
        say(f"Python {pair}: {'passed' if good else 'FAILED'}")
    return 0 if all(passed.values()) else 1


def find_interpreter(python: str) -> Path | None:
    """A Python of this version that runs; a shim of pyenv may not."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = shutil.which(f"python{python}")
    for path in [
        *([Path(named)] if named else []),
        *sorted(root.glob(f"versions/{python}.*/bin/python"), reverse=True),
    ]:
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


def run(python: str, django: str, path: Path, core: bool) -> bool:
    say(f"Python {python} with Django {django}")
    command = prepare_environment(python, django, path)
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "DJANGO_SETTINGS_MODULE")}
    kept["KLAXON_TEST_DB"] = "sqlite"
    left_out = (
        ["-m", "not slow and not one_database", *(f"--ignore-glob=tests/{name}" for name in NOT_CORE)] if core else []
    )
    checks = [["-m", "django", "makemigrations", "--check", "--dry-run", "--settings", name] for name in SETTINGS]
    tests = ["-m", "pytest", "-n", "2", "-q", *left_out]
    return all(
        subprocess.run([command, *step], cwd=ROOT, env=kept, check=False).returncode == 0 for step in [*checks, tests]
    )


def prepare_environment(python: str, django: str, path: Path) -> Path:
    """The Python of an environment with this pair, made if there is none or the requirements have changed."""
    folder = ROOT / f".venv-{python}-{django}"
    inside, stamp, pins = folder / "bin/python", folder / ".installed", folder / "constraints.txt"
    wanted = (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return inside
    say(f"installing into {folder.name}")
    subprocess.run([path, "-m", "venv", folder], check=True)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins.write_text("\n".join(line for line in lines if not line.startswith("Django==")))
    packages = [f"Django=={django}.*", "--editable", f"{ROOT}[{EXTRAS}]"]
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--constraint", pins, *packages], check=True)
    stamp.write_text(wanted)
    return inside


def say(words: str) -> None:
    print(f"=== {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
