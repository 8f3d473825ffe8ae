"""Track alerts: a condition must hold for some time before an alert begins, and must not hold before it ends.

The time is that of the frames. It only counts while the bus is heard, so that neither a pause of the vehicle nor our
own outage begins or ends an alert. A value holds until the device sends another one.
"""

from collections.abc import Iterable, Iterator

from notifications.can.alert_states import Bus, Deadlines, Room, State
from notifications.can.alerts import AlertChange, AlertKey, OpenAlert
from notifications.can.rule_types import (
    AlertRule,
    BusSilenceRule,
    CompoundRule,
    DeviceSilenceRule,
    Rule,
    SignalRule,
    StateRule,
    find_messages,
)
from notifications.can.signals import Reading, Value
from notifications.can.tally import Tally

MAX_ALERTS = 10_000
"""How many states of alerts are kept. One source address can have at most half of them."""
MAX_BUSES = 64
MAX_DISORDER_SECONDS = 1.0
LONG_PAUSE_SECONDS = 600.0
"""After a pause of the bus that is so long, what was about to begin or end must begin or end anew."""
SHORT_PAUSE_SECONDS = 1.0

MAX_DEVICES = 256
"""How many devices and instances are kept for one condition of a compound rule on one bus."""
BEFORE = "it began before the bridge was started"


class AlertTracker:
    """Keeps the alerts of some rules. Its methods return what has changed.

    :param rules: rules of any kind; those on faults are ignored.
    :param max_alerts: how many states are kept. What is beyond this is counted as dropped.
    """

    def __init__(self, rules: Iterable[Rule], tally: Tally, max_alerts: int = MAX_ALERTS) -> None:
        self.tally = tally
        self.max_alerts = max_alerts
        self.rules = {rule.name: rule for rule in rules if isinstance(rule, AlertRule)}
        self._of_message: dict[str, list[tuple[AlertRule, int]]] = {}
        for rule in self.rules.values():
            for index, message in enumerate(find_messages(rule)):
                self._of_message.setdefault(message, []).append((rule, index))
        self._device_rules = [
            rule for rule in self.rules.values() if isinstance(rule, DeviceSilenceRule) and rule.selection is None
        ]
        self._bus_rules = [rule for rule in self.rules.values() if isinstance(rule, BusSilenceRule)]
        self._pause = min(
            (rule.begin_after for rule in self.rules.values() if isinstance(rule, DeviceSilenceRule)),
            default=LONG_PAUSE_SECONDS,
        )
        self._states: dict[AlertKey, State] = {}
        self._last_values: dict[AlertKey, Value] = {}
        self._compound: dict[AlertKey, list[dict[tuple[int | None, int | None], Value]]] = {}
        self._buses: dict[str, Bus] = {}
        self._now = 0.0
        self._deadlines = Deadlines()
        self._room, self._room_for_values = Room(max_alerts), Room(max_alerts)

    def __len__(self) -> int:
        """Return the number of states, open or not."""
        return len(self._states)

    @property
    def messages(self) -> frozenset[str]:
        """The names of the messages that the rules need."""
        return frozenset(self._of_message)

    def list_standing(self) -> Iterator[AlertChange]:
        """Return the alerts that have begun and not ended."""
        return (one.make_change("begun", one.repeated_at) for one in self._states.values() if one.has_begun)

    def finish(self) -> list[AlertChange]:
        """Return what is due at the end of a recording."""
        return self.advance_to(self._now)

    # -- what happens -------------------------------------------------------------------------------------------------

    def advance_to(self, timestamp: float) -> list[AlertChange]:
        """Advance the time to ``timestamp`` (seconds since 1970)."""
        if timestamp < self._now:
            if timestamp >= self._now - MAX_DISORDER_SECONDS:
                return []
            self._set_back(timestamp)
        self._now = timestamp
        changes: list[AlertChange] = []
        while self._deadlines.first <= timestamp and (key := self._deadlines.pop(timestamp)) is not None:
            if (state := self._states.get(key)) is not None:
                changes += self._look_at(state)
        return changes

    def hear(self, bus: str, source_address: int | None) -> list[AlertChange]:
        """Take note that there was a frame on a bus now. ``source_address`` is None if it does not name its sender."""
        known = self._buses.get(bus)
        if known is None:
            known = self._meet(bus)
            if known is None:
                return []
        changes = self._wake(known) if self._is_awake_again(known, self._now) else []
        known.heard_at = self._now
        if self._device_rules and source_address is not None:
            states = known.devices.get(source_address)
            if states is None:
                states = known.devices[source_address] = self._meet_device(bus, source_address)
            for state in states:
                state.heard_at = self._now
                if state.has_begun:
                    changes += self._turn(state, False)
        return changes

    def receive(self, timestamp: float, bus: str, source_address: int | None) -> list[AlertChange]:
        """Do the same as :meth:`advance_to` and :meth:`hear`. It is faster if nothing is due."""
        known = self._buses.get(bus)
        is_calm = known is not None and not (self._device_rules or self._is_awake_again(known, timestamp))
        if known is None or not is_calm or timestamp < self._now or timestamp >= self._deadlines.first:
            return [*self.advance_to(timestamp), *self.hear(bus, source_address)]
        self._now = known.heard_at = timestamp
        return []

    def add(self, reading: Reading) -> list[AlertChange]:
        """Process the values of one message, at the present time."""
        changes: list[AlertChange] = []
        if reading.bus not in self._buses and self._meet(reading.bus) is None:
            return changes
        for rule, index in self._of_message.get(reading.message, ()):
            if isinstance(rule, SignalRule):
                changes += self._add_signal(rule, reading)
            elif isinstance(rule, StateRule):
                changes += self._add_state(rule, reading)
            elif isinstance(rule, CompoundRule):
                changes += self._add_to_compound(rule, index, reading)
            elif isinstance(rule, DeviceSilenceRule):
                changes += self._add_sign_of_life(rule, reading)
        return changes

    def lose_bus(self, bus: str, timestamp: float) -> list[AlertChange]:
        """Take note that the connection to a bus is gone. Until there is a frame again, only its silence can be
        reported."""
        changes = self.advance_to(timestamp)
        known = self._buses.get(bus) or self._meet(bus)
        if known is not None:
            known.is_lost = True
        return changes

    def move_source(self, bus: str, before: int, after: int) -> list[AlertChange]:
        """Let a device keep its alerts under a new source address, unless the same ones are open there."""
        changes = []
        for key in [key for key in self._states if key.bus == bus and key.source_address == before]:
            state = self._forget(key)
            moved = key._replace(source_address=after)
            other = self._states.get(moved)
            if other is not None and other.has_begun:
                if state.has_begun:
                    changes.append(self._flip(state, self._now))
            elif state.has_begun or not isinstance(state.rule, DeviceSilenceRule):
                if other is not None:
                    self._forget(moved)
                state.key = moved
                self._keep(state)
                self._schedule(state)
        if (known := self._buses.get(bus)) is not None:
            known.devices.pop(before, None)
            known.devices.pop(after, None)
        return changes

    def restore(self, alerts: Iterable[OpenAlert]) -> list[OpenAlert]:
        """Continue alerts that were open when the bridge stopped.

        :returns: those whose rule does not exist any more.
        """
        unknown = []
        for alert in alerts:
            rule = self.rules.get(alert.rule)
            if rule is None:
                unknown.append(alert)
                continue
            key = AlertKey(alert.rule, alert.bus, alert.source_address, alert.instance)
            if key not in self._states:
                self._keep(State(rule, key, key))
            state = self._states[key]
            state.has_begun, state.turning_since, state.about = True, None, BEFORE
            state.repeated_at = state.heard_at = (alert.last_sent_at or alert.begun_at).timestamp()
            if (bus := self._buses.get(key.bus)) is not None and isinstance(rule, BusSilenceRule):
                bus.is_silent = True
            self._schedule(state)
        return unknown

    # -- the kinds of rules -------------------------------------------------------------------------------------------

    def _add_signal(self, rule: SignalRule, reading: Reading) -> list[AlertChange]:
        condition = rule.condition
        value = reading.values.get(condition.field)
        if value is None or not condition.selection.selects(reading):
            return []
        # A plain tuple is equal to the AlertKey, and much faster to make.
        state = self._states.get((rule.name, reading.bus, reading.source_address, reading.instance))  # type: ignore[call-overload]
        holds = condition.holds(value, state is not None and state.has_begun)
        if state is None and holds:
            state = self._open(rule, find_key(rule, reading))
        if state is None:
            return []
        state.note(reading, condition.field, value, condition.unit)
        return self._turn(state, holds)

    def _add_state(self, rule: StateRule, reading: Reading) -> list[AlertChange]:
        value = reading.values.get(rule.field)
        if value is None or not rule.selection.selects(reading):
            return []
        key = find_key(rule, reading)
        before = self._last_values.get(key)
        if before is None:
            if not self._room_for_values.has(key):
                self.tally.dropped += 1
                return []
            self._room_for_values.add(key)
        self._last_values[key] = value
        state, holds = self._states.get(key), value in rule.states
        if state is None:
            is_change = before is not None and before not in rule.states and (not rule.before or before in rule.before)
            state = self._open(rule, key) if holds and is_change else None
            if state is None:
                return []
        state.note(reading, rule.field, value, rule.unit)
        return self._turn(state, holds)

    def _add_to_compound(self, rule: CompoundRule, index: int, reading: Reading) -> list[AlertChange]:
        condition = rule.conditions[index]
        value = reading.values.get(condition.field)
        if value is None or not condition.selection.selects(reading) or (rule.buses and reading.bus not in rule.buses):
            return []
        key = AlertKey(rule.name, reading.bus, None, None)
        values = self._compound.setdefault(key, [{} for _ in rule.conditions])
        device = (reading.source_address, reading.instance)
        if device not in values[index] and len(values[index]) >= MAX_DEVICES:
            self.tally.dropped += 1
            return []
        values[index][device] = value
        state = self._states.get(key)
        has_begun = state is not None and state.has_begun
        held = [
            (one, next((value for value in known.values() if one.holds(value, has_begun)), None))
            for one, known in zip(rule.conditions, values, strict=True)
        ]
        combine = all if rule.needs_all else any
        holds = combine(value is not None for _one, value in held)
        if state is None and holds:
            state = self._open(rule, key)
        if state is None:
            return []
        if holds:
            state.about = " and ".join(one.describe(value, None) for one, value in held if value is not None)
        return self._turn(state, holds)

    def _add_sign_of_life(self, rule: DeviceSilenceRule, reading: Reading) -> list[AlertChange]:
        if rule.selection is None or not rule.selection.selects(reading):
            return []
        key = find_key(rule, reading)
        state = self._states.get(key)
        if state is None:
            if (state := self._open(rule, key)) is None:
                return []
            state.message, state.about = reading.message, f"{describe_thing(rule, key)} is silent"
        state.heard_at = self._now
        if state.has_begun:
            return self._turn(state, False)
        self._schedule(state)
        return []

    # -- buses and devices --------------------------------------------------------------------------------------------

    def _meet(self, bus: str) -> Bus | None:
        if len(self._buses) >= MAX_BUSES:
            self.tally.dropped += 1
            return None
        known = self._buses[bus] = Bus(bus, self._now, self._now)
        for rule in self._bus_rules:
            if not rule.buses or bus in rule.buses:
                key = AlertKey(rule.name, bus, None, None)
                known.silence.append(self._begin_to_watch(rule, key, "the bus is silent"))
        known.is_silent = any(state.has_begun for state in known.silence)
        for source in sorted({source for rule in self._device_rules if rule.is_expected for source in rule.sources}):
            known.devices[source] = self._meet_device(bus, source)
        return known

    def _meet_device(self, bus: str, source: int) -> list[State]:
        states = []
        for rule in self._device_rules:
            if (not rule.sources or source in rule.sources) and (not rule.buses or bus in rule.buses):
                key = AlertKey(rule.name, bus, source, None)
                states.append(self._begin_to_watch(rule, key, f"{describe_thing(rule, key)} is silent"))
        return states

    def _begin_to_watch(self, rule: AlertRule, key: AlertKey, text: str) -> State:
        # There are at most 256 devices on a bus, and 64 buses, so these states need no other limit.
        state = self._states.get(key)
        if state is None:
            state = State(rule, key, key, heard_at=self._now, is_watch=True)
            self._keep(state)
        state.about = text
        self._schedule(state)
        return state

    def _is_awake_again(self, bus: Bus, now: float) -> bool:
        return bool(bus.waiting or bus.is_lost or bus.is_silent or now - bus.heard_at > SHORT_PAUSE_SECONDS)

    def _wake(self, bus: Bus) -> list[AlertChange]:
        """Process what was waiting until a bus is heard again."""
        pause, was_silent = self._now - bus.heard_at, bus.is_lost or bus.is_silent
        bus.is_lost = False
        if was_silent or pause >= self._pause:
            # Devices need time until they are heard again.
            bus.awake_since = self._now
        if was_silent or pause > LONG_PAUSE_SECONDS:
            self._begin_anew(bus)
        changes = [change for state in bus.silence if state.has_begun for change in self._turn(state, False)]
        waiting, bus.waiting = bus.waiting, set()
        for key in waiting:
            if key in self._states:
                self._schedule(self._states[key])
        return changes

    def _begin_anew(self, bus: Bus) -> None:
        """Let nothing that was about to begin or end do so because of the time before a long pause."""
        for state in self._states.values():
            if state.key.bus == bus.name and not isinstance(state.rule, BusSilenceRule):
                state.turning_since = None

    # -- the life of an alert -----------------------------------------------------------------------------------------

    def _open(self, rule: AlertRule, key: AlertKey) -> State | None:
        """Return a new state, or None if there are too many."""
        if not self._room.has(key):
            self.tally.dropped += 1
            return None
        state = State(rule, key, key)
        self._keep(state)
        return state

    def _keep(self, state: State) -> None:
        self._states[state.key] = state
        if not state.is_watch:
            self._room.add(state.key)

    def _forget(self, key: AlertKey) -> State:
        state = self._states.pop(key)
        if not state.is_watch:
            self._room.remove(key)
        return state

    def _turn(self, state: State, holds: bool) -> list[AlertChange]:
        """Process whether the condition of an alert holds now."""
        if holds == state.has_begun:
            state.turning_since = None
            if not state.has_begun:
                self._forget_idle(state)
            return []
        if state.turning_since is None:
            state.turning_since = self._now
        due = state.turning_since + state.find_delay()
        if due <= self._now:
            return [self._flip(state, due)]
        self._schedule(state)
        return []

    def _forget_idle(self, state: State) -> None:
        if not isinstance(state.rule, DeviceSilenceRule | BusSilenceRule):
            self._forget(state.key)

    def _flip(self, state: State, timestamp: float) -> AlertChange:
        """Let an alert begin, or end if it has begun."""
        state.has_begun, state.turning_since = not state.has_begun, None
        rule = state.rule
        if isinstance(rule, BusSilenceRule) and (bus := self._buses.get(state.key.bus)) is not None:
            bus.is_silent = any(one.has_begun for one in bus.silence)
        if state.has_begun:
            state.repeated_at = timestamp
            self.tally.begun += 1
            self._schedule(state)
            return state.make_change("begun", timestamp)
        self.tally.ended += 1
        change = state.make_change("ended", timestamp)
        state.origin = state.key
        if state.key in self._states:
            self._forget_idle(state)
            self._schedule(state)
        return change

    def _look_at(self, state: State) -> list[AlertChange]:
        """Process an alert that is due."""
        bus = self._buses.get(state.key.bus)
        changes = []
        due = self._find_due(state)
        if bus is not None and due is not None and due <= self._now:
            is_heard = not bus.is_lost and bus.heard_at >= due
            if isinstance(state.rule, BusSilenceRule):
                if state.has_begun and self._now - bus.heard_at >= state.rule.begin_after:
                    # It is silent again before the alert could end.
                    state.turning_since = None
                else:
                    changes.append(self._flip(state, due))
            elif is_heard:
                changes.append(self._flip(state, due))
            else:
                bus.waiting.add(state.key)
        every = state.rule.repeat_every
        if state.has_begun and every is not None and state.repeated_at + every <= self._now:
            state.repeated_at = self._now
            changes.append(state.make_change("repeated", self._now))
        self._schedule(state)
        return changes

    def _find_due(self, state: State) -> float | None:
        """Return when an alert begins or ends if nothing else happens; None if it does neither."""
        if state.turning_since is not None:
            return state.turning_since + state.find_delay()
        if state.has_begun:
            return None
        if isinstance(state.rule, BusSilenceRule):
            bus = self._buses.get(state.key.bus)
            return (bus.heard_at if bus else state.heard_at) + state.rule.begin_after
        if isinstance(state.rule, DeviceSilenceRule):
            bus = self._buses.get(state.key.bus)
            return max(state.heard_at, bus.awake_since if bus else 0.0) + state.rule.begin_after
        return None

    def _schedule(self, state: State) -> None:
        """Look at an alert again when something can happen to it at the earliest."""
        if self._states.get(state.key) is not state:
            return
        times = []
        bus = self._buses.get(state.key.bus)
        if bus is not None and state.key not in bus.waiting and (due := self._find_due(state)) is not None:
            times.append(due)
        if state.has_begun and state.rule.repeat_every is not None:
            times.append(state.repeated_at + state.rule.repeat_every)
        if times:
            self._deadlines.add(state.key, min(times))

    def set_forward(self, timestamp: float) -> None:
        """Continue at another time, because the clock was set forward. As much time has passed as before."""
        step = timestamp - self._now
        if step <= 0:
            return
        for bus in self._buses.values():
            bus.heard_at, bus.awake_since = bus.heard_at + step, bus.awake_since + step
        self._now = timestamp
        self._deadlines.clear()
        for state in self._states.values():
            state.heard_at, state.repeated_at = state.heard_at + step, state.repeated_at + step
            if state.turning_since is not None:
                state.turning_since += step
            self._schedule(state)

    def _set_back(self, timestamp: float) -> None:
        """Let no time be in the future, because the clock was set back or the file contains several recordings."""
        for bus in self._buses.values():
            bus.heard_at, bus.awake_since = min(bus.heard_at, timestamp), min(bus.awake_since, timestamp)
        self._now = timestamp
        self._deadlines.clear()
        for state in self._states.values():
            state.heard_at, state.repeated_at = min(state.heard_at, timestamp), min(state.repeated_at, timestamp)
            if state.turning_since is not None:
                state.turning_since = min(state.turning_since, timestamp)
            self._schedule(state)


def find_key(rule: AlertRule, reading: Reading) -> AlertKey:
    return AlertKey(rule.name, reading.bus, reading.source_address, reading.instance)


def describe_thing(rule: DeviceSilenceRule, key: AlertKey) -> str:
    device = "the device" if key.source_address is None else f"device 0x{key.source_address:02X}"
    instance = "" if key.instance is None else f" instance {key.instance}"
    return device if rule.selection is None else f"{rule.selection.message}{instance} of {device}"
