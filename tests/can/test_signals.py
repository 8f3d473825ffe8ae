from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.can.databases import RVC_PATH, Databases, DatabaseUnreadable, decoding_errors
from notifications.can.frame import Frame
from notifications.can.signals import Message, SignalDecoder, find_limit
from notifications.can.tally import Tally
from tests.can.candump import START, parse

pytestmark = pytest.mark.needs("can", "cantools")

DGNS = {
    "DC_SOURCE_STATUS_1": 0x1FFFD,
    "DC_SOURCE_STATUS_2": 0x1FFFC,
    "DC_SOURCE_STATUS_6": 0x1FEC7,
    "TANK_STATUS": 0x1FFB7,
    "GAS_SENSOR_STATUS": 0x1FFF5,
    "GENERIC_ALARM_STATUS": 0x1FE9F,
    "WATERHEATER_STATUS": 0x1FFF7,
    "GENERATOR_STATUS_1": 0x1FFDC,
    "GENERATOR_STATUS_2": 0x1FFDB,
    "ATS_AC_STATUS_1": 0x1FFAD,
    "THERMOSTAT_AMBIENT_STATUS": 0x1FF9C,
    "TIRE_STATUS": 0x1FEF0,
    "TIRE_SLOW_LEAK_ALARM": 0x1FEEF,
}

# An engine as tools for J1939 write it, a message of several frames, and frames that are not J1939.
HOST_DBC = """VERSION ""
BU_: Vector__XXX
BO_ 2364540158 EEC1: 8 Vector__XXX
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" Vector__XXX
BO_ 2566841854 ENGINE_HOURS: 12 Vector__XXX
 SG_ First : 0|8@1+ (1,0) [0|250] "" Vector__XXX
 SG_ Last : 88|8@1+ (1,0) [0|250] "" Vector__XXX
BO_ 100 BMS: 8 Vector__XXX
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Cell m0 : 15|16@0+ (0.001,0) [0|0] "V" Vector__XXX
 SG_ Heat m1 : 8|8@1- (1,0) [-40|100] "degC" Vector__XXX
BO_ 2147484000 OTHER29: 8 Vector__XXX
 SG_ Level : 0|8@1+ (1,0) [0|0] "" Vector__XXX
"""


def make_decoder(*names: str, tally: Tally | None = None, paths: tuple[Path, ...] = ()) -> SignalDecoder:
    databases = Databases()
    for path in paths:
        databases.add(path)
    wanted = [databases.messages[name] for name in names or databases.messages]
    return SignalDecoder(wanted, tally or Tally(), decoding_errors())


def read(name: str, data: str, tally: Tally | None = None, source: int = 0x80):
    decoder = make_decoder(name, tally=tally)
    found = decoder.decode(Frame(START, "can0", 0x18000000 | DGNS[name] << 8 | source, bytes.fromhex(data)))
    return found[0] if found else None


def values_of(name: str, data: str) -> dict[str, object]:
    return dict(read(name, data).values)


class TestOurDatabase:
    def test_it_has_the_messages_that_bear_alarms(self):
        assert {name: message.dgn for name, message in Databases().messages.items()} == DGNS

    @pytest.mark.parametrize(
        ("line", "name", "instance", "expected"),
        [
            # Of real coaches.
            ("19FFFD80#01782E0478803577", "DC_SOURCE_STATUS_1", 1, {"DcVoltage": 53.5, "DcCurrent": -5.0}),
            (
                "19FFFC80#01782024C80100FD",
                "DC_SOURCE_STATUS_2",
                1,
                {"SourceTemperature": 16.0, "StateOfCharge": 100.0, "TimeRemaining": 1, "TimeRemainingKind": "to full"},
            ),
            ("19FFDC9C#038A040000FFFFFF", "GENERATOR_STATUS_1", None, {"Status": "running", "EngineRunTime": 1162}),
            ("19FFB772#000420FFFFFFFFFF", "TANK_STATUS", 0, {"Level": 12.5, "AbsoluteLevel": None}),
            ("19FFB772#02131CFFFFFFFFFF", "TANK_STATUS", 2, {"Level": pytest.approx(67.857, abs=0.001)}),
            # By the tables of the layer document.
            ("09FFF578#0301E8034544FFFF", "GAS_SENSOR_STATUS", 3, {"Type": "CO", "Concentration": 1000}),
            ("19FE9F90#0148010000FFF0FF", "GENERIC_ALARM_STATUS", 0xFF4801, {"Triggered": "triggered", "Dsa": 72}),
            ("19FFAD4F#9160FF007DFF1DC4", "ATS_AC_STATUS_1", 0x91, {"Leg": "2", "OpenGround": "no fault"}),
            ("19FFADCF#01E008987D001EC4", "ATS_AC_STATUS_1", 1, {"RmsVoltage": 113.6, "Frequency": 60.0}),
            (
                "19FEF085#13BC026027FA64A0",
                "TIRE_STATUS",
                0x13,
                {
                    "Pressure": 700,
                    "Temperature": 42.0,
                    "SensorBattery": 5.0,
                    "PressureStatus": "normal",
                    "TemperatureStatus": None,
                    "SensorBatteryStatus": None,
                },
            ),
            ("19FEEF85#13FD3200FFFFFFFF", "TIRE_SLOW_LEAK_ALARM", 0x13, {"Leak": "slow leak", "LeakRate": 50}),
            ("19FF9C58#01E024FFFFFFFFFF", "THERMOSTAT_AMBIENT_STATUS", 1, {"AmbientTemperature": 22.0}),
            (
                "19FFDB40#017819401FC800FF",
                "GENERATOR_STATUS_2",
                None,
                {"TemperatureShutdown": "active", "CoolantTemperature": 80, "OilPressure": 100, "EngineSpeed": 1000.0},
            ),
            (
                "19FFF765#0101FFFF602B0040",
                "WATERHEATER_STATUS",
                1,
                {"SetPoint": None, "WaterTemperature": 74.0, "DcPowerWarning": "warning"},
            ),
            (
                "19FEC780#01781055FFFFFFFF",
                "DC_SOURCE_STATUS_6",
                1,
                {"LowVoltageLimit": "reached", "LowVoltageDisconnect": "connected", "HighCurrentLimit": None},
            ),
        ],
    )
    def test_values(self, line, name, instance, expected):
        [reading] = make_decoder().decode(parse(f"(1700000000.0) can0 {line}"))
        assert (reading.message, reading.instance, reading.bus) == (name, instance, "can0")
        assert {field: reading.values[field] for field in expected} == expected

    def test_the_priority_does_not_matter(self):
        [reading] = make_decoder().decode(parse("(1700000000.0) can0 0DFFFD80#01782E0478803577"))
        assert reading.source_address == 0x80

    @pytest.mark.parametrize("voltage", ["FFFF", "00FE", "00FD"])
    def test_codes_are_not_values(self, voltage):
        tally = Tally()
        assert read("DC_SOURCE_STATUS_1", f"0178{voltage}00943577", tally).values["DcVoltage"] is None
        assert tally.implausible == 0

    @pytest.mark.parametrize(
        ("bits", "limit"), [(1, None), (2, 2), (3, 7), (4, 14), (8, 0xFD), (16, 0xFD00), (12, 4095)]
    )
    def test_the_first_code_of_each_length(self, bits, limit):
        assert find_limit(bits) == limit

    def test_implausible_values_are_counted(self):
        tally = Tally()
        # -273 °C, as in frames of zeros.
        reading = read("DC_SOURCE_STATUS_2", "0100000000000000", tally)
        assert (reading.values["SourceTemperature"], reading.values["StateOfCharge"]) == (None, 0)
        assert tally.implausible == 1
        read("TANK_STATUS", "00FA04FFFFFFFFFF", tally)
        assert tally.implausible == 2

    def test_a_frame_of_zeros_is_no_reading_of_a_battery(self):
        tally = Tally()
        assert read("DC_SOURCE_STATUS_1", "00" * 8, tally) is None
        assert tally.implausible == 1

    def test_fields_that_a_short_frame_lacks_are_not_available(self):
        assert values_of("DC_SOURCE_STATUS_1", "01782E04") == {
            "Instance": "main house battery",
            "DevicePriority": 120,
            "DcVoltage": 53.5,
            "DcCurrent": None,
        }

    @given(st.sampled_from(sorted(DGNS)), st.binary(max_size=64))
    @settings(max_examples=300, deadline=None)
    def test_any_payload_can_be_read(self, name, data):
        reading = read(name, data.hex())
        if reading is not None:
            assert all(value is None or isinstance(value, str | int | float) for value in reading.values.values())
            assert reading.as_json()
            assert str(reading)

    def test_it_is_ascii_and_has_no_line_that_is_too_long(self):
        text = RVC_PATH.read_bytes().decode("ascii")
        assert "KlaxonIdentity" in text


class TestDatabasesOfTheHost:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        path = tmp_path / "host.dbc"
        path.write_text(HOST_DBC)
        return path

    @pytest.mark.parametrize("source", ["00", "FE", "31"])
    def test_a_message_with_the_null_address_is_found_by_its_dgn(self, path, source):
        decoder = make_decoder("EEC1", paths=(path,))
        [reading] = decoder.decode(parse(f"(1700000000.0) can0 0CF004{source}#FFFFFF401FFFFFFF"))
        assert (reading.values["EngineSpeed"], reading.source_address) == (1000.0, int(source, 16))

    def test_codes_are_known_in_j1939_too(self, path):
        decoder = make_decoder("EEC1", paths=(path,))
        [reading] = decoder.decode(parse("(1700000000.0) can0 0CF00400#FFFFFFFFFFFFFFFF"))
        assert reading.values["EngineSpeed"] is None

    def test_a_long_message(self, path):
        [reading] = make_decoder("ENGINE_HOURS", paths=(path,)).decode(
            Frame(START, "can0", 0x18FEE531, bytes(range(1, 13)))
        )
        assert dict(reading.values) == {"First": 1, "Last": 12}

    def test_an_11_bit_message_has_no_source_and_no_codes(self, path):
        decoder = make_decoder("BMS", paths=(path,))
        [reading] = decoder.decode(parse("(1700000000.0) can0 064#00FFFF0000000000"))
        assert (reading.source_address, reading.instance) == (None, None)
        assert dict(reading.values) == {"Page": 0, "Cell": 65.535, "Heat": None}

    def test_signals_that_are_multiplexed(self, path):
        tally = Tally()
        decoder = make_decoder("BMS", paths=(path,), tally=tally)
        [reading] = decoder.decode(parse("(1700000000.0) can0 064#01F6000000000000"))
        assert dict(reading.values) == {"Page": 1, "Cell": None, "Heat": -10}
        assert decoder.decode(parse("(1700000000.0) can0 064#0700000000000000")) == []
        assert tally.undecoded == 1

    def test_a_29_bit_message_that_is_not_j1939_is_found_by_its_whole_id(self, path):
        decoder = make_decoder("OTHER29", paths=(path,))
        [reading] = decoder.decode(parse("(1700000000.0) can0 00000160#FF00000000000000"))
        assert reading.values["Level"] == 255
        assert decoder.decode(parse("(1700000000.0) can0 00000161#FF00000000000000")) == []
        assert decoder.decode(parse("(1700000000.0) can0 160#FF00000000000000")) == []

    @pytest.mark.parametrize(("protocol", "source", "count"), [("j1939", "61", 1), ("can", "60", 1), ("can", "61", 0)])
    def test_the_protocol_can_be_given(self, path, protocol, source, count):
        databases = Databases()
        databases.add(path, protocol)
        decoder = SignalDecoder([databases.messages["OTHER29"]], Tally(), decoding_errors())
        assert len(decoder.decode(parse(f"(1700000000.0) can0 000001{source}#0500000000000000"))) == count

    def test_a_message_of_the_host_replaces_ours(self, tmp_path):
        path = tmp_path / "own.dbc"
        path.write_text('VERSION ""\nBO_ 2583674878 TANK_STATUS: 8 X\n SG_ Own : 0|8@1+ (1,0) [0|0] "" X\n')
        databases = Databases()
        databases.add(path)
        assert databases.messages["TANK_STATUS"].field_names[0] == "Own"
        with pytest.raises(DatabaseUnreadable, match="'TANK_STATUS' is in two DBC files"):
            databases.add(path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [("BO_ nonsense", "cannot be read"), ('VERSION ""\n', "has no messages"), ("\x00\xff", "cannot be read")],
    )
    def test_a_file_that_is_no_dbc_file(self, tmp_path, content, words):
        path = tmp_path / "bad.dbc"
        path.write_text(content)
        with pytest.raises(DatabaseUnreadable, match=words):
            Databases().add(path)
        with pytest.raises(DatabaseUnreadable, match="There is no DBC file"):
            Databases().add(tmp_path / "none.dbc")


def test_the_memory_for_payloads_is_bounded(monkeypatch):
    monkeypatch.setattr("notifications.can.signals.MAX_KNOWN", 10)
    message = Databases().messages["TANK_STATUS"]
    assert isinstance(message, Message)
    decoder = SignalDecoder([message], Tally(), decoding_errors())
    for number in range(200):
        [reading] = decoder.decode(parse(f"(1700000000.0) can0 19FFB772#00{number:02X}FAFFFFFFFFFF"))
        assert reading.values["RelativeLevel"] == number
        assert len(message._known) <= 10
