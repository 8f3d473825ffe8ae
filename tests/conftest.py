"""What the whole suite shares."""

import pytest

from notifications import extras


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose optional module is not installed: one run of CI has none of them."""
    absent = {
        item
        for item in items
        for mark in item.iter_markers("needs")
        for module in mark.args
        if not extras.installed(module)
    }
    if absent:
        config.hook.pytest_deselected(items=list(absent))
        items[:] = [item for item in items if item not in absent]
