"""Every sample of the documentation runs, and the pages name everything that there is to name.

A page is a story: its Python blocks run in order, in one namespace, on the real tables. What a page needs and does not
show stands in it as a comment ``<!-- setup … -->``. A block under a line that is nothing but a file name in backticks
(and a colon, perhaps) is that file: a module that later blocks can import, a template that is found, or settings that
hold for the rest of the page. The README is run as a whole project elsewhere.
"""

import configparser
import inspect
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.test.utils import isolate_apps

from notifications import checks, conf, signals
from notifications.conf.channels import CHANNEL_KEYS, PROVIDER_KEYS
from notifications.core.extras import EXTRA_BY_MODULE
from notifications.outcomes import DeliveryState, Reason
from notifications.testing import temporary_events
from notifications.testing.contract import ChannelContract

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Pages whose samples import an optional module.
NEEDS = {
    "alarm.md": ["requests"],
    "can-rules.md": ["can", "cantools"],
    "celery.md": ["celery"],
    "email-layout.md": ["css_inline"],
    "email-setup.md": ["dns"],
    "fcm.md": ["google", "requests", "cryptography"],
    "http.md": ["requests"],
    "chat.md": ["requests"],
    "slack.md": ["requests"],
    "discord.md": ["requests"],
    "teams.md": ["requests"],
    "pushover.md": ["requests"],
    "apprise.md": ["apprise"],
    "sensitive.md": ["cryptography"],
    "magic-links.md": ["cryptography"],
    "sms.md": ["requests"],
    "voice.md": ["requests"],
    "webhooks.md": ["requests_hardened", "standardwebhooks", "cryptography"],
    "can.md": ["can", "cantools"],
}
PAGES = [
    pytest.param(path, marks=pytest.mark.needs(*NEEDS.get(path.name, [])))
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
]
SETUP = "setup"
LANGUAGES = {
    "python",
    "console",
    "ini",
    "json",
    "toml",
    "text",
    "html+django",
    "django",
    "html",
    "{toctree}",
    "{eval-rst}",
}
# What stands for the apps of a host in the samples.
PACKAGES = {"shop": "tests.shop", "estate": "example_project.estate"}
MADE: set[str] = set()
"""The modules that samples have made."""
# Settings that cannot change while a test runs.
FIXED = {"INSTALLED_APPS", "DATABASES", "NOTIFICATIONS_CLUSTER_MODEL", "AUTH_USER_MODEL"}
# Why send() lets a delivery wait.
HOLDS = {Reason.SCHEDULED, Reason.QUIET_HOURS, Reason.DELIVERY_WINDOW, Reason.BATCH, Reason.DIGEST}
FILE_NAME = re.compile(r"`([\w./-]+\.\w+)`:?")


@dataclass(frozen=True)
class Block:
    """A fenced block, or a setup comment. ``line`` is that of its first line of content, from 0."""

    page: Path
    line: int
    language: str
    body: str
    file: str = ""

    @property
    def code(self):
        """Compiled so that a traceback names the line of the page."""
        return compile("\n" * self.line + self.body, str(self.page), "exec")

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    last_words, number = "", 0
    while number < len(lines):
        line = lines[number].strip()
        opening = re.match(r"(`{3,}|<!-- setup)([\w+{}-]*)", line)
        if not opening:
            last_words, number = line or last_words, number + 1
            continue
        closing = "-->" if opening[1].startswith("<") else opening[1]
        end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == closing)
        named = FILE_NAME.fullmatch(last_words)
        language = SETUP if closing == "-->" else opening[2]
        body = inspect.cleandoc("\n" + "\n".join(lines[number + 1 : end])) + "\n"
        yield Block(page, number + 1, language, body, named[1] if named else "")
        last_words, number = "", end + 1


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS if DOCS in page.parents else ROOT))


@contextmanager
def packages():
    """The names of the host's apps as the samples import them; modules that a page adds are forgotten."""
    aliases = {}
    for alias, real in PACKAGES.items():
        aliases[alias] = import_module(real)
        # Under its other name a module would run again, and register its events twice.
        inside = [name for name in sys.modules if name.startswith(f"{real}.")]
        aliases |= {alias + name.removeprefix(real): sys.modules[name] for name in inside}
    before = dict(sys.modules)
    sys.modules.update(aliases)
    try:
        yield
    finally:
        # Everything else that was imported stays, also if a sample fails: a second import would make other classes of
        # the same name, and cryptography knows its modes by their classes.
        for name in [*sys.modules]:
            if name in MADE or name.split(".")[0] in PACKAGES:
                del sys.modules[name]
        MADE.clear()
        sys.modules.update(before)


def run_as_module(block: Block) -> ModuleType:
    module = ModuleType(block.module)
    package = block.module.partition(".")[0]
    MADE.update((package, block.module))
    for name in [package, block.module]:
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules[block.module] = module
    if block.module.endswith(".models"):
        # Django wants to know whose models they are, and must not keep them.
        module.__name__ = f"{PACKAGES[package]}.models"
        with isolate_apps(PACKAGES[package]):
            exec(block.code, vars(module))
    else:
        exec(block.code, vars(module))
    return module


class Story:
    """One page, told from top to bottom."""

    def __init__(self, settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.names = {"__name__": "page"}
        templates = deepcopy(settings.TEMPLATES)
        templates[0]["DIRS"] = [folder]
        settings.TEMPLATES = templates

    def tell(self, block: Block) -> None:
        if "templates/" in block.file:
            self.keep_template(block)
        elif block.file.endswith("settings.py"):
            self.change_settings(run_as_module(block))
        elif block.language == "python" and block.file:
            self.names |= {name: value for name, value in vars(run_as_module(block)).items() if name[:2] != "__"}
            self.call_tests(block)
        elif block.language in ("python", SETUP):
            exec(block.code, self.names)
            self.call_tests(block)

    def keep_template(self, block: Block) -> None:
        path = self.folder / block.file.partition("templates/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body)

    def change_settings(self, module: ModuleType) -> None:
        for name, value in vars(module).items():
            if name.isupper() and name not in FIXED:
                setattr(self.settings, name, value)
        assert list(conf.problems()) == []

    def call_tests(self, block: Block) -> None:
        """A test function of a sample takes its fixtures from the names of the page."""
        for name in re.findall(r"^def (test_\w+)", block.body, re.MULTILINE):
            function = self.names[name]
            function(**{wanted: self.names[wanted] for wanted in inspect.signature(function).parameters})


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_samples_of_a_page_run(page, settings, tmp_path, monkeypatch):
    for signal in vars(signals).values():
        if isinstance(signal, signals.Signal):
            monkeypatch.setattr(signal, "receivers", list(signal.receivers))
    with temporary_events(), packages():
        story = Story(settings, tmp_path)
        for block in blocks(page):
            story.tell(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_python_can_be_read(page):
    for block in blocks(page):
        assert block.language in {*LANGUAGES, SETUP}, f"{page.name}:{block.line} has the language {block.language!r}"
        if block.language == "json":
            json.loads(block.body)
        elif block.language == "toml":
            tomllib.loads(block.body)
        elif block.language == "ini":
            configparser.ConfigParser(interpolation=None).read_string(block.body)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_commands_exist_and_take_their_options(page):
    for block in blocks(page):
        if block.language in ("console", "ini", "text"):
            for line in re.findall(r"manage\.py (.+)", block.body):
                name, *arguments = shlex.split(line, comments=True)
                command = load_command_class(get_commands()[name], name)
                command.create_parser("manage.py", name).parse_args(arguments)
            for target in re.findall(r"^(?:\$ )?make (\S+)", block.body, re.MULTILINE):
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def contract_of_the_guide() -> type[ChannelContract]:
    """The test class of the guide to writing channels, so that it is not only shown but run."""
    with packages():
        for block in blocks(DOCS / "channels/writing.md"):
            if block.language == "python" and block.file.endswith(("channels.py", "test_pager.py")):
                found = run_as_module(block)
    return found.TestPagerChannel


class TestTheChannelOfTheGuide(contract_of_the_guide()):
    pass


def told_in(page: str) -> str:
    return (DOCS / page).read_text()


def test_every_setting_is_described():
    for key in [*conf.KEYS, *CHANNEL_KEYS, *PROVIDER_KEYS]:
        assert f"`{key}`" in told_in("settings.md"), key


def source_of_checks():
    return "".join(path.read_text() for path in Path(checks.__file__).parent.glob("*.py"))


def test_every_check_is_described():
    found = re.findall(r'"klaxon\.([EW]\d+)"', source_of_checks())
    assert found
    for identifier in found:
        assert f"klaxon.{identifier}" in told_in("checks.md"), identifier


def test_every_state_and_reason_is_described():
    for state in DeliveryState.values:
        assert f"`{state}`" in told_in("architecture.md"), state
    for reason in Reason.values:
        assert f"`{reason}`" in told_in("worker.md") + told_in("sending.md"), reason


def test_every_reason_to_hold_back_is_described_where_sends_are():
    for reason in HOLDS:
        assert f"| `{reason}` |" in told_in("sending.md"), reason


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_colon_leads_to_a_table_a_list_or_a_sample_and_not_to_other_words(page):
    assert re.findall(r"^([^:].*:)\n\n([A-Za-z].*)", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "quickstart.md"], ids=name_of)
def test_one_sentence_tells_the_names_of_distribution_app_and_label(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    app = apps.get_app_config("klaxon")
    sentences = page.read_text().replace("\n", " ").split(". ")
    names = [f"`{name}`" for name in (project["name"], app.name, app.label)]
    assert any(all(name in sentence for name in names) for sentence in sentences)


def test_every_dependency_is_justified():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    page = told_in("dependencies.md").lower()
    for name in {re.match(r"[\w.-]+", line)[0].lower() for line in wanted} - {"django-klaxon"}:
        assert f"`{name}`" in page, name
    for extra in extras:
        assert f"`[{extra}]`" in page, extra


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_whose_samples_need_an_extra_says_how_to_install_it(page):
    text = page.read_text()
    for module, extra in {**EXTRA_BY_MODULE, "notifications.formats": "formats"}.items():
        # An import, or a dotted path in the settings.
        if re.search(rf"""^(import|from) {module}\b|["']{module}\.""", text, re.MULTILINE):
            assert f"pip install 'django-klaxon[{extra}]'" in text, module


def test_every_room_has_its_floor_in_the_page():
    rooms = {path.stem for path in (ROOT / "notifications").iterdir() if path.suffix == ".py" or path.is_dir()}
    told = told_in("architecture.md")
    for room in rooms - {"__init__", "__pycache__", "migrations", "locale", "static", "templates", "py"}:
        assert f"`{room}`" in told, room


def test_every_table_is_in_the_page():
    page = told_in("architecture.md")
    for model in apps.get_app_config("klaxon").get_models():
        assert f"\n| `{model.__name__}` |" in page, model.__name__
