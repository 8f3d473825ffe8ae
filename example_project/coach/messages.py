"""Messages on the bus of a coach: RV-C, and J1939 for the chassis. Bytes are counted from 0."""

from collections.abc import Sequence
from typing import NamedTuple

PRIORITY = 6 << 26
DM_RV, DM1, ADDRESS_CLAIM, TRANSPORT_CONTROL, TRANSPORT_DATA = 0x1FECA, 0xFECA, 0xEEFF, 0xECFF, 0xEBFF
DC_SOURCE_STATUS_1, TANK_STATUS, GAS_SENSOR_STATUS = 0x1FFFD, 0x1FFB7, 0x1FFF5
WATERHEATER_STATUS, GENERATOR_STATUS_1, THERMOSTAT_AMBIENT_STATUS = 0x1FFF7, 0x1FFDC, 0x1FF9C
DC_DIMMER_STATUS_3 = 0x1FEDA

ENGINE, GENERATOR, PANEL, BATTERY_MONITOR, TANKS, THERMOSTAT = 0, 64, 68, 69, 72, 88
FURNACE, WATER_HEATER, GAS_DETECTOR, WATER_PUMP = 94, 101, 120, 127
"""Source addresses. Except for the engine's, they are also the default source addresses of RV-C."""
HOUSE_BATTERY, BEST_SOURCE = 1, 120
FRESH, BLACK, GREY = 0, 1, 2
LP_GAS = 2
RUNNING = 0b0101
YELLOW, RED = 1 << 4, 1 << 6
ENGINE_AMBER = 1 << 2
NO_CURRENT = 0x77359400
TANK_RESOLUTION = 32

BROADCAST, PACKET_BYTES = 32, 7
BETWEEN_PACKETS = 0.05  # seconds; J1939 demands 50 to 200 ms in a broadcast


class SimulatedFrame(NamedTuple):
    """A frame: seconds since the start, the 29-bit id and up to eight bytes.

    :param damage: how the frame is damaged on its way: ``cut`` (the end is missing), ``binary`` (the bytes are
        garbage), or not at all.
    """

    after: float
    arbitration_id: int
    data: bytes
    damage: str = ""

    def as_candump(self, start: float, bus: str) -> bytes:
        """Return the line of ``candump -L``."""
        line = f"({start + self.after:.6f}) {bus} {self.arbitration_id:08X}#{self.data.hex().upper()}\n"
        return self._spoil(line.encode())

    def as_slcan(self) -> bytes:
        """Return the line of a serial adapter (Lawicel's protocol)."""
        return self._spoil(f"T{self.arbitration_id:08X}{len(self.data)}{self.data.hex().upper()}\r".encode())

    def as_socketcand(self, now: float) -> bytes:
        """Return the text of a socketcand server."""
        return self._spoil(f"< frame {self.arbitration_id:08X} {now:.6f} {self.data.hex().upper()} >".encode())

    def _spoil(self, line: bytes) -> bytes:
        if not self.damage:
            return line
        if self.damage == "cut":
            return line[: len(line) // 2] + line[-1:]
        return bytes(byte | 0x80 for byte in line[:-1]) + line[-1:]


def make_frame(after: float, dgn: int, source: int, data: bytes) -> SimulatedFrame:
    """Return a frame whose unused bytes are FF, which means "not available"."""
    return SimulatedFrame(after, PRIORITY | dgn << 8 | source, data.ljust(8, b"\xff"))


def encode_temperature(celsius: float) -> bytes:
    """Two bytes; 1/32 °C for each step, from -273 °C."""
    return round((celsius + 273) * 32).to_bytes(2, "little")


def make_battery(after: float, volts: float, amperes: float) -> SimulatedFrame:
    """DC_SOURCE_STATUS_1 of the house battery; 0.05 V and 0.001 A for each step."""
    data = bytes([HOUSE_BATTERY, BEST_SOURCE]) + round(volts / 0.05).to_bytes(2, "little")
    data += (NO_CURRENT + round(amperes * 1000)).to_bytes(4, "little")
    return make_frame(after, DC_SOURCE_STATUS_1, BATTERY_MONITOR, data)


def make_tank(after: float, tank: int, level: int) -> SimulatedFrame:
    """TANK_STATUS; the level is a number of 32nds."""
    return make_frame(after, TANK_STATUS, TANKS, bytes([tank, level, TANK_RESOLUTION]))


def make_gas_sensor(after: float, ppm: int, is_alarm: bool) -> SimulatedFrame:
    """GAS_SENSOR_STATUS of the sensor for LP gas. In byte 4, the lowest two bits are the alarm, then the warning."""
    flags = 0b0000_0101 if is_alarm else 0
    return make_frame(
        after, GAS_SENSOR_STATUS, GAS_DETECTOR, bytes([1, LP_GAS]) + ppm.to_bytes(2, "little") + bytes([flags])
    )


def make_water_heater(after: float, celsius: float) -> SimulatedFrame:
    """WATERHEATER_STATUS in automatic mode, with a set point of 60 °C."""
    temperatures = encode_temperature(60) + encode_temperature(celsius)
    return make_frame(after, WATERHEATER_STATUS, WATER_HEATER, bytes([1, 4]) + temperatures + b"\x00")


def make_room(after: float, celsius: float) -> SimulatedFrame:
    """THERMOSTAT_AMBIENT_STATUS of the living room."""
    return make_frame(after, THERMOSTAT_AMBIENT_STATUS, THERMOSTAT, bytes([1]) + encode_temperature(celsius))


def make_generator(after: float, is_running: bool, minutes: int) -> SimulatedFrame:
    """GENERATOR_STATUS_1, with the minutes that the engine has run."""
    data = bytes([3 if is_running else 0]) + minutes.to_bytes(4, "little")
    return make_frame(after, GENERATOR_STATUS_1, GENERATOR, data)


def make_address_claim(after: float, source: int) -> SimulatedFrame:
    """The claim of an address, with a NAME that depends only on the address."""
    return make_frame(after, ADDRESS_CLAIM, source, bytes([source, 0x4B, 0x60, 0x11, 0x00, source ^ 0x55, 0x00, 0x80]))


def make_healthy_dm_rv(after: float, device: int) -> SimulatedFrame:
    return make_frame(after, DM_RV, device, bytes([RUNNING, device]))


def make_dm_rv(
    after: float, device: int, lamp: int, spn: int, fmi: int, count: int, instance: int | None = None
) -> SimulatedFrame:
    """DM_RV with a fault. The highest bits of the SPN come first, then the instance, if the device has several."""
    high = [0, spn >> 3] if instance is None else [spn >> 3, instance]
    data = bytes([RUNNING | lamp, device, *high, (spn & 0b111) << 5 | fmi, count])
    return make_frame(after, DM_RV, device, data)


def make_dm1(after: float, source: int, lamps: int, faults: Sequence[tuple[int, int, int]]) -> list[SimulatedFrame]:
    """DM1 of J1939 with (SPN, FMI, count) for each fault. The lowest byte of the SPN comes first.

    More than one fault requires a broadcast of several frames (BAM), whose packets follow each other after 50 ms.
    """
    data = bytes([lamps, 0xFF])
    for spn, fmi, count in faults or [(0, 0, 0)]:
        data += bytes([spn & 0xFF, spn >> 8 & 0xFF, spn >> 16 << 5 | fmi, count])
    if len(data) <= 8:
        return [make_frame(after, DM1, source, data)]
    packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
    opening = bytes([BROADCAST]) + len(data).to_bytes(2, "little") + bytes([len(packets), 0xFF])
    frames = [make_frame(after, TRANSPORT_CONTROL, source, opening + DM1.to_bytes(3, "little"))]
    for number, packet in enumerate(packets, start=1):
        frames.append(make_frame(after + number * BETWEEN_PACKETS, TRANSPORT_DATA, source, bytes([number]) + packet))
    return frames
