import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.can import dm_rv
from notifications.can.faults import Device, Fault
from notifications.can.frame import Frame
from tests.can.candump import frame


def decode(data: str) -> Fault | None:
    report = dm_rv.decode(frame(data))
    assert report is not None
    return report.faults[0] if report.faults else None


def test_the_id_contains_data_group_and_source_address():
    for priority in range(8):
        heard = frame("", arbitration_id=priority << 26 | 0x1FECA44)
        assert (heard.dgn, heard.source_address) == (dm_rv.DGN, 0x44)


def test_the_reserved_bit_is_not_part_of_the_data_group():
    assert frame("", arbitration_id=0x1BFECA44).dgn == dm_rv.DGN


def test_a_device_with_one_instance_has_its_spn_in_byte_3():
    assert decode("154500106102FFFF") == Fault(instance=None, spn=131, fmi=1, lamps=("yellow",), count=2)


def test_a_device_with_several_instances_has_its_spn_in_byte_2_and_the_instance_in_byte_3():
    assert decode("454501032001FFFF") == Fault(instance=3, spn=9, fmi=0, lamps=("red",), count=1)


def test_the_device_is_named_by_bus_source_address_and_dsa():
    assert dm_rv.decode(frame("154500106102FFFF", bus="can7")).device == Device("can7", 0x44, 0x45)


@pytest.mark.parametrize(
    ("status", "lamps"),
    [
        ("05", ()),
        ("15", ("yellow",)),
        ("45", ("red",)),
        ("55", ("yellow", "red")),
        ("A5", ()),
        ("F5", ()),
        ("D5", ("yellow",)),
        ("75", ("red",)),
    ],
)
def test_a_lamp_is_lit_only_by_01(status, lamps):
    assert decode(f"{status}4500106102FFFF").lamps == lamps


def test_a_count_of_7f_is_not_available_and_its_top_bit_is_not_part_of_it():
    assert decode("15450010617FFFFF").count is None
    assert decode("1545001061FFFFFF").count is None
    assert decode("1545001061827FFF").count == 2


@pytest.mark.parametrize("data", ["0545FFFFFFFFFFFF", "054500FFFF02FFFF", "0545FF03FF02FFFF", "054500FFE002FFFF"])
def test_an_spn_of_all_ones_means_no_fault(data):
    assert decode(data) is None


def test_the_spn_is_packed_most_significant_bits_first():
    assert decode("054500FFC001FFFF").spn == 0x7FE
    assert decode("054580010001FFFF").spn == 0x400


@pytest.mark.parametrize("data", ["0000000000000000", "0542000000000000", "00000000000000FF", "A542000000007FFF"])
def test_zeros_are_ignored(data):
    assert dm_rv.decode(frame(data)) is None


def test_a_lamp_makes_zeros_a_fault():
    assert decode("1545000000000000") == Fault(None, 0, 0, ("yellow",), 0)


@pytest.mark.parametrize("length", range(6))
def test_a_truncated_frame_is_ignored(length):
    assert dm_rv.decode(frame("154500106102FFFF"[: 2 * length])) is None


def test_six_bytes_are_sufficient():
    assert decode("154500106102").spn == 131


@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_or_refused(data):
    report = dm_rv.decode(Frame(0.0, "can0", 0x19FECA44, data))
    if report is not None and report.faults:
        assert 0 <= report.faults[0].spn < dm_rv.NO_FAULT_SPN
        assert 0 <= report.faults[0].fmi < 32
