"""The outcome of replies of real mail servers to one, to thirty and to every other of thirty recipients."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import transaction

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Suppression
from notifications.outcomes import WAITING
from notifications.recipients import Address
from notifications.testing import travelling
from tests.channels.answers import ANSWERS, STAGES, Fate, Kind, get_kind_at
from tests.channels.scripted import scripted
from tests.shop.notification_events import ShopEvents

PAGE = Path(__file__).parents[2] / "docs" / "channels" / "email-answers.md"
ALWAYS = range(1, 1000)
SMTP = "django.core.mail.backends.smtp.EmailBackend"
STAGES_BEFORE_MAIL = ("greeting", "AUTH")

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture(scope="module")
def reserve():
    with scripted(pipelining=True, offers=("AUTH PLAIN",)) as server:
        yield server


@pytest.fixture(scope="module")
def main():
    with scripted(pipelining=True, offers=("SIZE 1000000", "AUTH PLAIN")) as server:
        yield server


@contextmanager
def rolled_back_transaction():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def provider(name, server, answer):
    login = {"username": "shop", "password": "secret"} if answer.stage == "AUTH" else {}
    backend = {"host": "127.0.0.1", "port": server.port, "timeout": 5, **login}
    return {"NAME": name, "OPTIONS": {"backend": SMTP, "backend_options": backend}}


def send_and_observe(answer, main, reserve, settings, count, with_reserve=False, alternating=False, stage=None):
    """Send to a number of recipients and return the outcome."""
    providers = [provider("main", main, answer), *[provider("reserve", reserve, answer)] * with_reserve]
    email = {"BACKEND": "notifications.channels.email.EmailChannel", "PROVIDERS": providers}
    settings.NOTIFICATIONS = {"CHANNELS": {"email": email}, "RETRY_DELAYS": [60, 60], "RETRY_JITTER": 0}
    main.stage, main.fault, main.turns = stage or answer.stage, answer.text, ALWAYS
    main.reached.clear()
    with rolled_back_transaction(), travelling():
        guests = [Address(email=f"guest{number:02}@example.com") for number in range(count)]
        NotificationManager.send(ShopEvents.NEWSLETTER, guests)
        in_order = list(Delivery.objects.order_by("pk").values_list("address", flat=True))
        main.whom = set(in_order[1::2]).__contains__ if alternating else None
        dispatcher = Dispatcher()
        dispatcher.run_until_idle()
        dispatcher.close()
        return read_outcome()


def read_outcome():
    states = Counter(map(name_state, Delivery.objects.values_list("state", flat=True)))
    circuit = Circuit.objects.filter(key="email/main").first() or Circuit.objects.filter(key="email").first()
    is_open = circuit is not None and not circuit.is_closed()
    ordered = [f"{states[state]} {state}" for state in ("sent", "dead", "waiting", "unknown") if states[state]]
    return Fate(", ".join(ordered), Suppression.objects.filter(is_active=True).count(), "open" if is_open else "closed")


def name_state(state):
    return "waiting" if state in WAITING else state


def format_page_row(answer):
    kind = answer.kind
    alternating = "" if answer.stage in STAGES_BEFORE_MAIL + ("MAIL",) else kind.alternating
    cells = [answer.server, answer.stage, f"`{answer.text}`", kind.name, kind.one, kind.one_reserve, kind.thirty]
    return f"| {' | '.join(map(str, [*cells, kind.thirty_reserve, alternating]))} |"


def format_stages_row(answer):
    kinds = [get_kind_at(answer, stage).name for stage in STAGES]
    return f"| {' | '.join([f'`{answer.text}`', *kinds])} |"


def list_answers_during_mail():
    """Return each text once."""
    found = [answer for answer in ANSWERS if answer.stage not in STAGES_BEFORE_MAIL]
    return list({answer.text: answer for answer in found}.values())


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_one_recipient_and_thirty_recipients(answer, main, reserve, settings):
    kind = answer.kind
    found = Kind(
        kind.name,
        send_and_observe(answer, main, reserve, settings, 1),
        send_and_observe(answer, main, reserve, settings, 1, with_reserve=True),
        send_and_observe(answer, main, reserve, settings, 30),
        send_and_observe(answer, main, reserve, settings, 30, with_reserve=True),
        kind.alternating,
    )
    assert found == kind


@pytest.mark.parametrize("answer", [one for one in ANSWERS if one.stage not in STAGES_BEFORE_MAIL + ("MAIL",)], ids=str)
def test_every_other_recipient_is_accepted(answer, main, reserve, settings):
    assert send_and_observe(answer, main, reserve, settings, 30, alternating=True) == answer.kind.alternating


@pytest.mark.parametrize("answer", list_answers_during_mail(), ids=str)
def test_the_same_words_at_every_stage(answer, main, reserve, settings):
    for stage in STAGES:
        if stage == answer.stage:
            continue
        kind = get_kind_at(answer, stage)
        found = [send_and_observe(answer, main, reserve, settings, count, stage=stage) for count in (1, 10)]
        assert (stage, found) == (stage, [kind.one, select_ten(kind.thirty)])


def select_ten(thirty):
    return replace(thirty, states=thirty.states.replace("30", "10"))


def test_the_page_has_the_same_rows():
    first, second = (part.splitlines() for part in PAGE.read_text().split("## The same replies at every stage"))
    assert [line for line in first if line.startswith("| ")][1:] == [format_page_row(answer) for answer in ANSWERS]
    assert [line for line in second if line.startswith("| ")][1:] == [
        format_stages_row(one) for one in list_answers_during_mail()
    ]


def test_number_of_answers():
    assert len({(answer.text, answer.stage) for answer in ANSWERS}) == len(ANSWERS) >= 60
