import pytest

from notifications.checks.can import check_can_bus

pytestmark = pytest.mark.needs("can")


@pytest.fixture(autouse=True)
def no_other_source(monkeypatch):
    monkeypatch.setattr("can.util.CONFIG_FILES", [])
    for name in ("INTERFACE", "CHANNEL", "BITRATE", "CONFIG"):
        monkeypatch.delenv(f"CAN_{name}", raising=False)


@pytest.mark.parametrize(
    ("bus", "ids", "words"),
    [
        ({}, [], ""),
        ({"interface": "socketcan", "channel": "can0"}, [], ""),
        ({"interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": 250000}, [], ""),
        ({"interface": "socketcon"}, ["klaxon.E040"], 'Unknown interface type "socketcon"'),
        ({"interface": "socketcand", "port": "many"}, ["klaxon.E040"], "Port config must be a number"),
        ({"channel": "can0"}, ["klaxon.E040"], "does not name an interface"),
        ({"interface": "slcan", "listen_only": False}, ["klaxon.W020"], "listen_only=False"),
        ({"interface": "pcan", "state": "ACTIVE"}, ["klaxon.W020"], "state=BusState.ACTIVE"),
    ],
)
def test_the_bus_of_the_settings_is_checked(settings, bus, ids, words):
    settings.NOTIFICATIONS = {"CAN_BUS": bus}
    found = list(check_can_bus())
    assert [message.id for message in found] == ids
    assert all(words in message.msg for message in found)


def test_the_missing_extra_is_reported(settings, monkeypatch):
    settings.NOTIFICATIONS = {"CAN_BUS": {"interface": "virtual"}}
    monkeypatch.setattr("notifications.core.extras.is_installed", lambda module: module != "can")
    [error] = check_can_bus()
    assert (error.id, "django-klaxon[can]" in error.hint) == ("klaxon.E005", True)
