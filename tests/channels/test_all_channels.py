"""All channels at once, while every provider fails for one request in ten: each delivery ends in a recorded state.

The suite runs 300 deliveries. ``KLAXON_DELIVERIES=10000 pytest -s tests/channels/test_all_channels.py`` runs as many as
it names and prints what happened.
"""

import os
from collections import Counter
from contextlib import ExitStack
from enum import Enum

import pytest
from django.core.management import call_command

from notifications.conf import get_channel_class
from notifications.conf.channels import BUILT_IN_CHANNELS
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import END_STATES, DeliveryState, Reason
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling
from tests.channels.all_channels import PARTICIPANTS, Luck
from tests.factories import UserFactory

pytestmark = [
    pytest.mark.needs("apprise", "google", "pywebpush", "requests_hardened"),
    pytest.mark.one_database,
    pytest.mark.django_db(transaction=True),
]
DELIVERIES = int(os.environ.get("KLAXON_DELIVERIES", "300"))
SEED = int(os.environ.get("KLAXON_SEED", "7"))
NAMES = [one.name for one in PARTICIPANTS]
MAX_ROUNDS = 1000
RETRY_DELAYS = [60] * 8
ACTIVE = set(DeliveryState) - {*END_STATES, DeliveryState.UNKNOWN}

FAILURES = {Reason.TEMPORARY, Reason.PERMANENT, Reason.CONFIGURATION, Reason.UNREACHABLE, Reason.LOST_CONTACT}


class Storm(Enum):
    RETRIED = "storm_retried"
    HELD = "storm_held"


@pytest.fixture
def running(settings, tmp_path):
    """Run the provider of each channel. Return them by the name of the channel, and the luck that they share."""
    luck, providers = Luck(SEED), {}
    with ExitStack() as stack:
        for one in PARTICIPANTS:
            providers[one.name] = stack.enter_context(one.serve(luck))
        settings.NOTIFICATIONS = {
            "CHANNELS": {one.name: describe(one, providers[one.name].options) for one in PARTICIPANTS},
            "BASE_URL": "https://shop.example.com",
            "RAMP_SECONDS": 0,
        }
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        registry = stack.enter_context(temporary_events())
        for member, on_unknown in ((Storm.RETRIED, "retry"), (Storm.HELD, "hold")):
            write_templates(tmp_path / "notifications" / member.value)
            registry[member] = NotificationEvent(
                member.value,
                NotificationPriority.HIGH,
                NAMES,
                context={"mark": str},
                on_unknown=on_unknown,
            )
        yield providers, luck


def describe(participant, options):
    backend = {"BACKEND": participant.backend} if participant.backend else {}
    return {"OPTIONS": options, "RETRY_DELAYS": RETRY_DELAYS, **backend}


def write_templates(folder):
    folder.mkdir(parents=True)
    for name in NAMES:
        for part in {"txt", *get_channel_class(name).required_parts}:
            (folder / f"{name}.{part}").write_text("{{ mark }} A storm is coming.")


def send_all(providers):
    """Send as many notifications as make the wanted number of deliveries, on all channels."""
    users = UserFactory.create_batch(10)
    for user in users:
        for one in PARTICIPANTS:
            one.reach(user, providers[one.name])
    for one in PARTICIPANTS:
        one.join(providers[one.name])
    wanted = -(-DELIVERIES // len(PARTICIPANTS))
    outsider = Address(**dict(one.address for one in PARTICIPANTS if one.address))
    for number in range(wanted):
        event = Storm.HELD if number % 2 else Storm.RETRIED
        recipients = [users[number % len(users)], outsider]
        result = NotificationManager.send(event, recipients, context={"mark": f"mark-{number}-"})
        # The channel log takes messages to anybody.
        assert result.queued == len(PARTICIPANTS) + 1


def deliver_all(clock):
    """Run workers until nothing is active. Return the number of rounds."""
    for number in range(1, MAX_ROUNDS):
        call_command("dispatch_notifications", workers=2, verbosity=0)
        if not Delivery.objects.filter(state__in=ACTIVE).exists():
            return number
        clock.forward(minutes=10)
    raise AssertionError(f"Still active: {Counter(Delivery.objects.filter(state__in=ACTIVE).values_list('state'))}")


def test_every_channel_takes_part():
    # The channel websocket stores a message for open pages; nothing of it can fail.
    assert set(BUILT_IN_CHANNELS) - {"websocket"} <= set(NAMES)


def test_every_delivery_ends_in_a_recorded_state(running, capsys):
    providers, luck = running
    with travelling() as clock:
        send_all(providers)
        rounds = deliver_all(clock)
    deliveries = list(Delivery.objects.select_related("notification"))
    assert len(deliveries) >= DELIVERIES
    attempts = Counter()
    last = {}
    for row in NotificationLog.objects.filter(kind="attempt").order_by("pk"):
        attempts[row.delivery_id] += 1
        last[row.delivery_id] = row
    accepted = {name: provider.get_accepted() for name, provider in providers.items()}
    for delivery in deliveries:
        check_end(delivery, last.get(delivery.pk), accepted[delivery.channel])
    print_counts(capsys, deliveries, attempts, accepted, luck, rounds)


def check_end(delivery, row, accepted):
    """The state is final, or unknown as its event wants it; the log says so; and the provider has what was sent."""
    assert row is not None, delivery
    number = int(delivery.notification.values["mark"].split("-")[1])
    assert row.success == (delivery.state == DeliveryState.SENT), (delivery.state, row.reason)
    if delivery.state == DeliveryState.SENT:
        assert accepted[number] >= 1, delivery
    elif delivery.state == DeliveryState.UNKNOWN:
        assert (delivery.notification.event, row.reason) == (Storm.HELD.value, Reason.LOST_CONTACT)
    else:
        assert delivery.state == DeliveryState.DEAD, delivery.state
        assert row.reason in FAILURES, (delivery, row.reason)


def print_counts(capsys, deliveries, attempts, accepted, luck, rounds):
    states = Counter((one.channel, str(one.state)) for one in deliveries)
    twice = {name: sum(count > 1 for count in counts.values()) for name, counts in accepted.items()}
    with capsys.disabled():
        print(f"\n{len(deliveries)} deliveries, {sum(attempts.values())} attempts, {rounds} rounds, seed {SEED}")
        for (channel, state), count in sorted(states.items()):
            print(f"  {channel:10} {state:8} {count}")
        print(f"  failures of providers: {dict(luck.failures)}")
        print(f"  accepted more than once: {twice}")
