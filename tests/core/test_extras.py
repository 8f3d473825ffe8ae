import tomllib
from pathlib import Path

import pytest

from notifications.core import extras
from notifications.exceptions import KlaxonError, MissingExtra


def test_an_installed_module_is_loaded():
    assert extras.is_installed("json")
    assert extras.import_optional("json").loads("1") == 1


@pytest.fixture
def absent(monkeypatch):
    """Name a module that is not installed as the module of an extra."""
    monkeypatch.setitem(extras.EXTRA_BY_MODULE, "klaxon_no_such_module", "pager")
    return "klaxon_no_such_module"


def test_a_missing_extra_is_named_with_the_command_that_installs_it(absent):
    assert not extras.is_installed(absent)
    with pytest.raises(MissingExtra, match=r"pip install 'django-klaxon\[pager\]'") as raised:
        extras.import_optional(absent)
    assert (raised.value.module, raised.value.extra) == (absent, "pager")
    assert isinstance(raised.value, KlaxonError)
    assert isinstance(raised.value, ImportError)


def test_a_missing_submodule_names_the_extra_of_its_package(absent):
    with pytest.raises(MissingExtra, match="pager"):
        extras.import_optional(f"{absent}.layers")


def test_an_import_that_fails_inside_an_installed_module_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "klaxon_half_broken.py").write_text("import klaxon_dependency_of_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="klaxon_dependency_of_it") as raised:
        extras.import_optional("klaxon_half_broken")
    assert not isinstance(raised.value, MissingExtra)


def test_every_named_extra_is_defined_by_the_package():
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert set(extras.EXTRA_BY_MODULE.values()) <= project["optional-dependencies"].keys()
