from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError

from notifications.can.alerts import AlertChange
from notifications.can.check_rules import check_rules
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import FaultChange
from notifications.can.python_rules import can_rule
from notifications.can.rules import load_rules
from notifications.can.sends import Send
from notifications.can.tally import Tally
from notifications.checks.can_rules import check_can_rules
from notifications.models import Cluster, Delivery, Notification
from notifications.recipients import Address, GroupNamed, Members, Topic
from tests.can.candump import TWO_FAULTS, bridge, parse, write
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.needs("can", "cantools")

AT = datetime(2026, 1, 1, tzinfo=UTC)
RED = FaultChange("raised", "rvc", "can0", 68, 94, None, 9, 7, ("red",), 2, AT)
LOW = AlertChange(
    "begun", "battery-low", "can0", 128, 1, 1, "DC_SOURCE_STATUS_1", "DcVoltage", 11.5, "V", "DcVoltage is 11.5 V", AT
)

FIRE = """
[[rules]]
name = "fire"
kind = "fault"
lamps = ["red"]
event = "store_on_fire"
context = { place = "{device}: {part} {problem}" }
"""
BATTERY = """
[[rules]]
name = "battery-low"
kind = "signal"
message = "DC_SOURCE_STATUS_1"
field = "DcVoltage"
operator = "<"
value = 11.8
event = "store_on_fire"
context = { place = "{value_text} at {device}" }
"""


@pytest.fixture
def rule_file(settings, tmp_path, own_rules):
    def write_file(text: str, name: str = "rules.toml"):
        path = tmp_path / name
        path.write_text(text)
        settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "CAN_RULES": str(path)}
        return path

    return write_file


def sends(change) -> list[Send]:
    return list(load_rules().make_sends(change))


@pytest.mark.django_db
def test_notifications_of_the_rules_are_queued(rule_file, tmp_path):
    ann = User.objects.create_user("ann", "ann@example.com")
    rule_file(FIRE + 'recipients = ["user:ann"]')
    out, _err = bridge(replay=write(tmp_path, TWO_FAULTS))
    assert "2 faults raised, 2 cleared, 1 notifications queued" in out
    notification = Notification.objects.get()
    assert notification.values == {"place": "battery monitor: SPN 9 above the normal range"}
    assert notification.correlation_id == "rvc:can0:68:69:3:9:0"
    assert sorted(Delivery.objects.values_list("channel", "recipient")) == [("app", ann.pk), ("email", ann.pk)]


def test_a_dry_run_needs_no_rules_and_no_database(settings, tmp_path, own_rules):
    settings.NOTIFICATIONS = {}
    out, _err = bridge(replay=write(tmp_path, TWO_FAULTS), dry_run=True)
    assert "0 notifications queued" in out


def test_a_dry_run_shows_alerts(rule_file, tmp_path):
    rule_file(BATTERY)
    recording = write(tmp_path, "(1700000000.0) can0 19FFFD80#0178D20000943577\n")
    out, _err = bridge(replay=recording, dry_run=True)
    assert "warning battery-low begins: DcVoltage of DC_SOURCE_STATUS_1 instance 1 is 10.5 V, reported by 0x80." in out
    assert "Still open: " in out


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "words"),
    [("", "There are no rules"), ("[[rules]]\nname = 1", "rules.toml:2: name is 1"), ("x = ", "rules.toml:1: This is")],
)
def test_wrong_rules_are_an_error_before_the_recording_is_read(rule_file, text, words):
    rule_file(text)
    with pytest.raises(CommandError, match=words):
        bridge(replay="coach.log")


def test_all_problems_are_reported_at_once(rule_file):
    rule_file("[[rules]]\nname = 1\nkind = 'fault'\n\n[[rules]]\nname = 'a'\nkind = 'folt'\n")
    with pytest.raises(ImproperlyConfigured, match=r"(?s):2: name is 1.*:7: kind is 'folt'. Did you mean 'fault'\?"):
        load_rules()


class TestFaults:
    def test_a_rule_that_selects_the_fault_makes_a_send(self, rule_file):
        rule_file(FIRE)
        [send] = sends(RED)
        assert (send.event_name, send.cluster, send.recipients) == ("store_on_fire", None, [Members(None)])
        assert send.context == {"place": "main furnace: RV-C connection mechanical part not responding"}
        assert send.options == {"correlation_id": "rvc:can0:68:94:-:9:7"}

    @pytest.mark.parametrize(
        ("line", "is_selected"),
        [
            ("spn = 9", True),
            ("spn = [8, 10]", False),
            ("fmi = 7", True),
            ("fmi = 0", False),
            ("dsa = 94", True),
            ("dsa = 0x45", False),
            ("source = 68", True),
            ("source = 69", False),
            ("instance = 1", False),
            ('bus = "can0"', True),
            ('bus = ["can1", "can2"]', False),
            ('protocol = "rvc"', True),
            ('protocol = "j1939"', False),
            ('severity = "critical"', True),
            ('severity = ["info", "warning"]', False),
        ],
    )
    def test_filters(self, rule_file, line, is_selected):
        rule_file(FIRE + line)
        assert bool(sends(RED)) is is_selected

    @pytest.mark.parametrize(("kind", "count"), [("raised", 1), ("worsened", 1), ("flapping", 0), ("cleared", 0)])
    def test_without_further_events_only_the_begin_is_notified(self, rule_file, kind, count):
        rule_file(FIRE)
        assert len(sends(FaultChange(kind, *list(vars(RED).values())[1:12]))) == count

    @pytest.mark.parametrize(("key", "kind"), [("clear_event", "cleared"), ("flapping_event", "flapping")])
    def test_other_events(self, rule_file, key, kind):
        rule_file(FIRE + f'{key} = "store_on_fire"')
        assert len(sends(FaultChange(kind, *list(vars(RED).values())[1:12]))) == 1


class TestAlerts:
    @pytest.mark.parametrize(("kind", "count"), [("begun", 1), ("repeated", 1), ("ended", 0)])
    def test_the_end_is_notified_only_if_it_has_an_event(self, rule_file, kind, count):
        rule_file(BATTERY)
        change = AlertChange(kind, *list(vars(LOW).values())[1:])
        found = sends(change)
        assert len(found) == count
        assert all(send.context == {"place": "11.5 V at device 0x80"} for send in found)
        rule_file(BATTERY + 'clear_event = "store_on_fire"')
        assert len(sends(change)) == 1

    def test_another_rule_is_not_asked(self, rule_file):
        rule_file(BATTERY.replace("battery-low", "other"))
        assert sends(LOW) == []

    def test_a_fact_in_braces_keeps_its_type(self, rule_file):
        # The event has no declared context.
        rule_file(
            BATTERY.replace('"store_on_fire"', '"shop_newsletter"').replace('"{value_text} at {device}"', '"{value}"')
        )
        [send] = sends(LOW)
        assert send.context == {"place": 11.5}


@pytest.mark.django_db
class TestRecipients:
    def test_each_word(self, rule_file):
        ann = User.objects.create_user("ann")
        words = '["members", "group:Drivers", "topic:alarms", "user:ann", "email:ann@example.com"]'
        rule_file(FIRE + f"recipients = {words}")
        [send] = sends(RED)
        address = Address(email="ann@example.com")
        assert send.recipients == [Members(None), GroupNamed("Drivers"), Topic("alarms"), ann, address]

    @pytest.mark.parametrize("cluster", ['"rosinante"', '{ name = "Rosinante" }'])
    def test_a_cluster_is_found_by_its_slug_or_other_fields(self, rule_file, cluster):
        coach = Cluster.objects.create(name="Rosinante", slug="rosinante")
        rule_file(f"[defaults]\ncluster = {cluster}\n" + FIRE)
        [send] = sends(RED)
        assert (send.cluster, send.recipients) == (coach, [Members(coach)])

    def test_what_is_not_in_the_database_is_a_problem(self, rule_file):
        path = rule_file(FIRE + 'cluster = "rosinante"')
        [problem] = check_rules()
        assert str(problem) == (
            f"{path}:2: The rule 'fire': There are 0 clusters with slug 'rosinante', and one is needed. Correct the "
            "rule, or create what it names."
        )
        assert check_rules([path], asks_database=False) == []
        Cluster.objects.create(name="Rosinante", slug="rosinante")
        assert check_rules() == []

    @pytest.mark.parametrize("word", ["user:bob", "group:Drivers"])
    def test_recipients_who_are_not_in_the_database_are_a_problem(self, rule_file, word):
        path = rule_file(FIRE + f'recipients = ["{word}"]')
        [problem] = check_rules([path])
        assert word.partition(":")[2] in problem.message
        User.objects.create(username="bob")
        Group.objects.create(name="Drivers")
        assert check_rules([path]) == []

    def test_a_field_that_clusters_do_not_have_is_a_problem(self, rule_file):
        path = rule_file(FIRE + "cluster = { color = 'red' }")
        [problem] = check_rules([path])
        assert "cannot be looked up" in problem.message


class TestRulesInPython:
    def test_they_receive_changes(self, rule_file):
        rule_file(FIRE)

        @can_rule
        def escalate(change):
            if change.kind == "raised":
                yield Send(ShopEvents.NEWSLETTER, [], context={"spn": change.spn})

        @can_rule
        def nothing(change):
            return None

        assert [send.event_name for send in sends(RED)] == ["store_on_fire", ShopEvents.NEWSLETTER]

    def test_they_receive_readings_of_a_message_but_not_too_often(self, settings, tmp_path, own_rules):
        settings.NOTIFICATIONS = {}
        taken = []

        @can_rule(message="TANK_STATUS", every=60)
        def watch(reading):
            taken.append((reading.instance, reading.values["Level"], reading.timestamp))

        lines = [
            f"({1_700_000_000 + second}.0) can0 19FFB772#{instance:02X}0420FFFFFFFFFF"
            for second in range(0, 130, 10)
            for instance in (0, 1)
        ]
        rules = load_rules()
        out, _err = bridge(replay=write(tmp_path, "\n".join(lines)), dry_run=True, json=True)
        assert out.count('"kind": "reading"') == 6
        assert rules.find_reading_intervals() == {"TANK_STATUS": 60}
        for change in rules.make_bridge(FaultTracker(Tally())).process(map(parse, lines)):
            list(rules.make_sends(change))
        assert taken == [(number, 12.5, 1_700_000_000 + second) for second in (0, 60, 120) for number in (0, 1)]

    def test_a_message_that_no_dbc_file_has_is_a_problem(self, settings, own_rules):
        settings.NOTIFICATIONS = {}

        @can_rule(message="TANK_STATUS_9")
        def watch(reading):
            return ()

        [problem] = check_rules([])
        assert problem.path == __file__
        assert problem.hint == "Did you mean 'TANK_STATUS'?"

    @pytest.mark.parametrize("every", [0, -1, float("nan")])
    def test_an_interval_must_be_a_time(self, every):
        with pytest.raises(ValueError, match="every must be"):
            can_rule(message="TANK_STATUS", every=every)


class TestChecks:
    def found(self) -> list[tuple[str, str]]:
        return [(message.id, message.msg) for message in check_can_rules()]

    def test_a_wrong_rule_is_an_error_with_its_line(self, rule_file):
        path = rule_file(FIRE.replace('"fault"', '"folt"'))
        assert self.found() == [("klaxon.E036", f"{path}:4: kind is 'folt'.")]
        rule_file(FIRE)
        assert self.found() == []

    def test_a_rule_in_python_that_wants_an_unknown_message_is_an_error(self, settings, own_rules):
        settings.NOTIFICATIONS = {}
        assert self.found() == []

        @can_rule(message="TANK")
        def watch(reading):
            return ()

        assert [identifier for identifier, _message in self.found()] == ["klaxon.E037"]

    def test_silent_devices_need_a_rule_for_silent_buses(self, rule_file):
        device = "[[rules]]\nname = 'gone'\nkind = 'device_silence'\nafter = 30\n"
        rule_file(device)
        assert [identifier for identifier, _message in self.found()] == ["klaxon.W018"]
        rule_file(device + "[[rules]]\nname = 'dead'\nkind = 'bus_silence'\nafter = 30\n")
        assert self.found() == []
