"""The built wheel in a brand-new project, by the README alone."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEP = re.compile(r"^\*\*(?P<number>\d)\.\*\* (?P<text>.*?)\n\n```(?P<kind>\w+)\n(?P<code>.*?)^```", re.M | re.S)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)],
        check=True,
        timeout=300,
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture
def site(wheel, tmp_path):
    """A folder that sees the wheel's package, not the one that is being developed."""
    packages = tmp_path / "packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    folder = tmp_path / "site"
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "KLAXON_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return folder, {**kept, "PYTHONPATH": str(packages), "PATH": path, "DJANGO_SUPERUSER_PASSWORD": "placeholder"}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"notifications"}
    for needed in (
        "notifications/py.typed",
        "notifications/migrations/0001_squashed_0023_http_api.py",
        "notifications/templates/notifications/message/email.txt",
        "notifications/templates/notifications/base.html",
        "notifications/management/commands/dispatch_notifications.py",
        "notifications/can/rvc.dbc",
    ):
        assert needed in names


def steps():
    found = [match.groupdict() for match in STEP.finditer((ROOT / "README.md").read_text())]
    assert [step["number"] for step in found] == [str(number) for number in range(1, len(found) + 1)]
    assert len(found) <= 8
    return found


def typed(step):
    """What a reader types for a step: its lines as they stand, or an editor that adds to a file of the project."""
    if step["kind"] == "python":
        [name] = re.findall(r"`([\w/]+\.py)`", step["text"])
        return f"cat >> \"$PROJECT/{name}\" <<'END_OF_FILE'\n{step['code']}END_OF_FILE\n"
    lines = step["code"].replace("createsuperuser ", "createsuperuser --noinput ")
    return lines.replace("pip install django-klaxon\n", "").replace("python manage.py runserver\n", "")


def terminal(site, code):
    """One terminal, in which a step begins where the one before has ended."""
    folder, environment = site
    done = subprocess.run(
        ["bash", "-eu"],
        input=code,
        cwd=folder,
        env={**environment, "PROJECT": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_alone_leads_to_a_mail_and_an_inbox_item(site):
    folder, environment = site
    said = terminal(site, "".join(typed(step) for step in steps()))
    assert "System check identified no issues (0 silenced)." in said
    assert "queued=2" in said
    assert "Subject: Order 7 is on its way" in said
    assert "2 deliveries: 2 sent." in said
    code = (
        "from django.test import Client; from django.contrib.auth.models import User; c = Client(); "
        "c.force_login(User.objects.get()); page = c.get('/notifications/', HTTP_HOST='localhost', follow=True); "
        "print(page.content.decode()); "
        "import notifications; print(notifications.__file__)"
    )
    page = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Order 7 is on its way" in page.stdout, page.stderr
    assert str(environment["PYTHONPATH"]) in page.stdout, "the wheel's package must be the one that ran"


FOREIGN = {
    "models.py": "",
    "apps.py": "from django.apps import AppConfig\n\n\nclass Config(AppConfig):\n    name = 'notifications'\n",
    "migrations/0002_other.py": "",
}
CHECK = """
import django
from django.conf import settings
from django.core.management import call_command
settings.configure(
    SECRET_KEY="only for this check",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "notifications"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
)
django.setup()
call_command("check")
"""


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), ""),
        (("models.py", "migrations/0002_other.py"), "klaxon.E034"),
        (FOREIGN, "ImproperlyConfigured: The app 'notifications' in INSTALLED_APPS has the label 'notifications'"),
    ],
    ids=["none", "it was there before", "it came later"],
)
def test_a_package_of_the_same_name_in_the_same_folder_is_told(site, names, sentence):
    folder, environment = site
    for name in names:
        Path(environment["PYTHONPATH"], "notifications", name).write_text(FOREIGN[name])
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == bool(sentence), done.stderr
    assert sentence in done.stderr
