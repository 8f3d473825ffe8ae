import pytest

from notifications.can import python_rules


@pytest.fixture
def own_rules(monkeypatch):
    """Rules in Python that a test registers are forgotten. Return the registered rules, which are none at first."""
    registered = {}
    monkeypatch.setattr(python_rules, "_registered", registered)
    return registered
