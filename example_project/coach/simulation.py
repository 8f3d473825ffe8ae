"""What happens on the bus of a coach: scripts, each of which yields the frames of a story.

The same seed gives the same frames. Frames are generated lazily, so an hour takes no more memory than a minute. The
times of events are fractions of the whole time, so that a night can pass in a minute.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from example_project.coach import messages as rvc
from example_project.coach.messages import SimulatedFrame

Frames = Iterator[SimulatedFrame]
Source = Callable[[float, Random], Frames]

FAULTY_EVERY, HEALTHY_EVERY = 1.0, 5.0  # seconds; RV-C allows 0.1-1 and at most 5
FULL_BUS = 1750.0
"""Frames in a second that a bus with 250 kbit/s can carry."""
LONGEST_PAUSE = 1.0
"""Seconds; after a longer one the bus was silent."""
DAMAGED = 0.03
"""The part of frames that are damaged in the script ``damage``."""
DEVICES = (
    rvc.ENGINE, rvc.GENERATOR, rvc.PANEL, rvc.BATTERY_MONITOR, rvc.TANKS, rvc.THERMOSTAT, rvc.FURNACE,
    rvc.WATER_HEATER, rvc.GAS_DETECTOR, rvc.WATER_PUMP,
)  # fmt: skip
LIGHTS = range(0x90, 0xA0)
"""The source addresses of dimmers, which fill the bus."""
BABBLER = 0xA5


@dataclass(frozen=True)
class Trouble:
    """A fault of one device. It begins and ends at these fractions of the whole time."""

    device: int
    lamp: int
    spn: int
    fmi: int
    begins: float
    ends: float
    instance: int | None = None


WATER_HEATER_COLD = Trouble(rvc.WATER_HEATER, rvc.YELLOW, spn=9, fmi=1, begins=0.2, ends=0.8, instance=1)
FURNACE_STUCK = Trouble(rvc.FURNACE, rvc.RED, spn=73, fmi=7, begins=0.4, ends=0.7)


# What parts of the coach say


def _battery(seconds: float, random: Random) -> Frames:
    volts, amperes = 13.2, 4.0
    for after in _times(0.5, seconds, random):
        volts = min(max(volts + random.uniform(-0.05, 0.05), 12.6), 14.4)
        amperes = min(max(amperes + random.uniform(-0.5, 0.5), -20.0), 40.0)
        yield rvc.make_battery(after, volts, amperes)


def _battery_at_night(seconds: float, random: Random) -> Frames:
    """The voltage falls from 12.8 to 11.5 V with noise, until the charger is connected in the morning."""
    for after in _times(0.5, seconds, random):
        part = after / seconds
        volts, amperes = (12.8 - 1.3 * part / 0.8, -8.0) if part < 0.8 else (13.6, 30.0)
        yield rvc.make_battery(after, random.gauss(volts, 0.08), random.gauss(amperes, 0.5))


def _tanks(seconds: float, random: Random) -> Frames:
    levels = {rvc.FRESH: random.randint(10, 25), rvc.BLACK: random.randint(0, 10), rvc.GREY: random.randint(0, 20)}
    for after in _times(2.0, seconds, random):
        tank = random.choice(list(levels))
        yield rvc.make_tank(after, tank, levels[tank])


def _filling_tanks(seconds: float, random: Random) -> Frames:
    """The black tank is filled until it is full. Its content moves, and it is emptied near the end."""
    for after in _times(1.0, seconds, random):
        part = after / seconds
        level = round(10 + 25 * part / 0.8 + random.uniform(-1.0, 1.0)) if part < 0.9 else 0
        yield rvc.make_tank(after, rvc.BLACK, min(max(level, 0), rvc.TANK_RESOLUTION))


def _gas_sensor(seconds: float, random: Random) -> Frames:
    for after in _times(1.0, seconds, random):
        yield rvc.make_gas_sensor(after, random.randint(0, 20), is_alarm=False)


def _leaking_gas(seconds: float, random: Random) -> Frames:
    """Gas escapes from 30 % of the time until someone closes the valve at 70 %."""
    ppm = 0.0
    for after in _times(1.0, seconds, random):
        is_leaking = 0.3 <= after / seconds < 0.7
        ppm = min(ppm + 400, 5000.0) if is_leaking else ppm * 0.5
        yield rvc.make_gas_sensor(after, round(ppm) + random.randint(0, 20), is_alarm=ppm >= 1000)


def _comfort(seconds: float, random: Random) -> Frames:
    for after in _times(2.0, seconds, random):
        yield rvc.make_room(after, 21 + random.uniform(-0.5, 0.5))
        yield rvc.make_water_heater(round(after + 0.01, 6), 58 + random.uniform(-2, 2))


def _generator(seconds: float, random: Random) -> Frames:
    for after in _times(1.0, seconds, random):
        yield rvc.make_generator(after, is_running=False, minutes=70_842)


def _claims(seconds: float, random: Random) -> Frames:
    for number, device in enumerate(DEVICES):
        yield rvc.make_address_claim(number * 0.01, device)


def _healthy_devices(*devices: int) -> list[Source]:
    def report(device: int) -> Source:
        def healthy(seconds: float, random: Random) -> Frames:
            for after in _times(HEALTHY_EVERY, seconds, random):
                yield rvc.make_healthy_dm_rv(after, device)

        return healthy

    return [report(device) for device in devices]


def _diagnosed(trouble: Trouble) -> Source:
    """Yield a device's own DM_RV: every 5 seconds while it is healthy, every second while it has a fault."""

    def diagnosed(seconds: float, random: Random) -> Frames:
        begins, ends = trouble.begins * seconds, trouble.ends * seconds
        count = random.randint(1, 20)
        for after in _times(HEALTHY_EVERY, begins, random):
            yield rvc.make_healthy_dm_rv(after, trouble.device)
        for after in _times(FAULTY_EVERY, ends - begins, random):
            fault = (trouble.lamp, trouble.spn, trouble.fmi, count, trouble.instance)
            yield rvc.make_dm_rv(begins + after, trouble.device, *fault)
        for after in _times(HEALTHY_EVERY, seconds - ends, random):
            yield rvc.make_healthy_dm_rv(ends + after, trouble.device)

    return diagnosed


def _worsening_furnace(seconds: float, random: Random) -> Frames:
    """A yellow lamp that becomes red."""
    for after in _times(FAULTY_EVERY, seconds, random):
        part = after / seconds
        if 0.2 <= part < 0.8:
            yield rvc.make_dm_rv(after, rvc.FURNACE, rvc.YELLOW if part < 0.4 else rvc.RED, spn=73, fmi=7, count=1)
        elif round(after) % round(HEALTHY_EVERY) == 0:
            yield rvc.make_healthy_dm_rv(after, rvc.FURNACE)


def _flapping_pump(seconds: float, random: Random) -> Frames:
    """A loose contact: the fault comes and goes ten times a second for a tenth of the time."""
    for number, after in enumerate(_times(0.1, seconds, random)):
        if 0.5 <= after / seconds < 0.6 and number % 2:
            yield rvc.make_dm_rv(after, rvc.WATER_PUMP, rvc.YELLOW, spn=18, fmi=5, count=1)
        elif number % (2 if 0.5 <= after / seconds < 0.6 else 50) == 0:
            yield rvc.make_healthy_dm_rv(after, rvc.WATER_PUMP)


def _engine(seconds: float, random: Random) -> Frames:
    """DM1 of the chassis every second. Two faults at the same time make it a message of several frames."""
    for after in _times(1.0, seconds, random):
        part = after / seconds
        faults = [(110, 0, 2), (520_192, 31, 1)] if 0.3 <= part < 0.6 else []
        yield from rvc.make_dm1(after, rvc.ENGINE, rvc.ENGINE_AMBER if faults else 0, faults)


def _babbling_node(rate: float) -> Source:
    """A node that reports another fault with each frame."""

    def babbling(seconds: float, random: Random) -> Frames:
        for number in range(int(seconds * rate)):
            lamp, spn = random.choice((rvc.YELLOW, rvc.RED)), random.randrange(2000)
            yield rvc.make_dm_rv(number / rate, BABBLER, lamp, spn, random.randrange(20), 1)

    return babbling


def _random_frames(rate: float) -> Source:
    """Any identifiers and bytes. Half of them are those of messages that a bridge reads."""
    read = (rvc.DM_RV, rvc.DM1, rvc.ADDRESS_CLAIM, rvc.TRANSPORT_CONTROL, rvc.TRANSPORT_DATA, rvc.DC_SOURCE_STATUS_1)

    def fuzz(seconds: float, random: Random) -> Frames:
        for number in range(int(seconds * rate)):
            arbitration_id = random.getrandbits(29)
            if random.random() < 0.5:
                arbitration_id = rvc.PRIORITY | random.choice(read) << 8 | random.getrandbits(8)
            yield SimulatedFrame(number / rate, arbitration_id, random.randbytes(random.randint(0, 8)))

    return fuzz


HEALTHY_PARTS: tuple[Source, ...] = (_claims, _battery, _tanks, _gas_sensor, _comfort, _generator)
FAULTY_DEVICES: tuple[Source, ...] = (
    *_healthy_devices(*DEVICES[1:6], rvc.GAS_DETECTOR),
    _diagnosed(WATER_HEATER_COLD),
    _worsening_furnace,
    _flapping_pump,
    _engine,
)


# The scripts


def make_drive(seconds: float, seed: int) -> Frames:
    """The water heater has a minor fault, and the furnace a serious one."""
    devices = [_diagnosed(WATER_HEATER_COLD), _diagnosed(FURNACE_STUCK)]
    return _play([_battery, _tanks, *_healthy_devices(rvc.PANEL), *devices], seconds, seed)


def make_healthy(seconds: float, seed: int) -> Frames:
    """Nothing is wrong."""
    return _play([*HEALTHY_PARTS, *_healthy_devices(*DEVICES[1:])], seconds, seed)


def make_faults(seconds: float, seed: int) -> Frames:
    """A lamp that turns from yellow to red, a loose contact, and an engine with two faults at the same time."""
    return _play([*HEALTHY_PARTS, *FAULTY_DEVICES], seconds, seed)


def make_bad_day(seconds: float, seed: int) -> Frames:
    """The same faults, while the battery becomes empty and the black tank full."""
    parts = {_battery: _battery_at_night, _tanks: _filling_tanks}
    return _play([*(parts.get(part, part) for part in HEALTHY_PARTS), *FAULTY_DEVICES], seconds, seed)


def make_battery_night(seconds: float, seed: int) -> Frames:
    """The battery becomes empty slowly, with noise, and is charged in the morning. A real night has 480 minutes."""
    return _play(_replace(_battery, _battery_at_night), seconds, seed)


def make_gas_leak(seconds: float, seed: int) -> Frames:
    """The gas detector raises an alarm."""
    return _play(_replace(_gas_sensor, _leaking_gas), seconds, seed)


def make_tanks(seconds: float, seed: int) -> Frames:
    """The black tank becomes full, and is emptied."""
    return _play(_replace(_tanks, _filling_tanks), seconds, seed)


def make_silence(seconds: float, seed: int) -> Frames:
    """The furnace is silent from 20 to 50 % of the time, and the whole bus from 70 to 90 %."""
    furnace = rvc.FURNACE
    for frame in make_healthy(seconds, seed):
        part = frame.after / seconds
        if not 0.7 <= part < 0.9 and not (0.2 <= part < 0.5 and frame.arbitration_id & 0xFF == furnace):
            yield frame


def make_flood(seconds: float, seed: int) -> Frames:
    """One node reports faults without end and fills the bus, while the furnace has a real one."""
    return _play([_babbling_node(FULL_BUS), _diagnosed(FURNACE_STUCK), *_healthy_devices(rvc.PANEL)], seconds, seed)


def make_damage(seconds: float, seed: int) -> Frames:
    """The faults of ``faults``, but some frames are cut or garbage."""
    random = Random(f"{seed}-damage")
    for frame in make_faults(seconds, seed):
        if random.random() < DAMAGED:
            yield frame._replace(damage=random.choice(("cut", "binary")))
        else:
            yield frame


def make_fuzz(seconds: float, seed: int) -> Frames:
    """Random frames that fill the bus."""
    return _play([_random_frames(FULL_BUS)], seconds, seed)


SCRIPTS: dict[str, Callable[[float, int], Frames]] = {
    "drive": make_drive,
    "healthy": make_healthy,
    "faults": make_faults,
    "bad-day": make_bad_day,
    "battery-night": make_battery_night,
    "gas-leak": make_gas_leak,
    "tanks": make_tanks,
    "silence": make_silence,
    "flood": make_flood,
    "damage": make_damage,
    "fuzz": make_fuzz,
}


def fill(frames: Iterable[SimulatedFrame], rate: float, seed: int) -> Frames:
    """Add the frames of dimmers until there are ``rate`` frames in each second. A silent bus stays silent."""
    random, count, last = Random(f"{seed}-lights"), 0, 0.0
    for frame in frames:
        if frame.after - last > LONGEST_PAUSE:
            count = int(frame.after * rate)
        last = frame.after
        while count < frame.after * rate:
            data = bytes([random.randrange(1, 32), 0xFF, random.randrange(201), 0xFC, 0xFF])
            yield rvc.make_frame(round(count / rate, 6), rvc.DC_DIMMER_STATUS_3, random.choice(LIGHTS), data)
            count += 1
        yield frame
        count += 1


def _play(sources: Iterable[Source], seconds: float, seed: int) -> Frames:
    """Return the frames of all sources, ordered by time. Each source has its own random numbers."""
    return heapq.merge(*(source(seconds, Random(f"{seed}-{number}")) for number, source in enumerate(sources)))


def _replace(part: Source, other: Source) -> list[Source]:
    healthy = [other if one is part else one for one in HEALTHY_PARTS]
    return [*healthy, *_healthy_devices(*DEVICES[1:])]


def _times(period: float, seconds: float, random: Random) -> Iterator[float]:
    """Yield times one period apart, each with a random delay."""
    for number in range(int(seconds / period)):
        yield round(number * period + random.uniform(0.0, period / 10), 6)
