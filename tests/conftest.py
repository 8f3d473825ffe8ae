"""What the whole suite shares."""

import os
import shutil

import pytest

from notifications import extras

ALSO_LOOKED_FOR_IN = "/usr/sbin"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose optional module is not installed, as in one run of the gate; and, outside the gate, tests
    whose program is not."""
    absent = {item for item in items if lacks_module(item) or (lacks_program(item) and os.environ.get("CI") != "true")}
    if absent:
        config.hook.pytest_deselected(items=list(absent))
        items[:] = [item for item in items if item not in absent]


def lacks_module(item: pytest.Item) -> bool:
    return any(not extras.installed(module) for mark in item.iter_markers("needs") for module in mark.args)


def lacks_program(item: pytest.Item) -> bool:
    return any(not found(name) for mark in item.iter_markers("needs_program") for name in mark.args)


def found(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path=ALSO_LOOKED_FOR_IN))
