"""Email to an SMTP server that accepts everything at once, so that only the work of the sender is measured.

Klaxon claims, rechecks the deliveries, renders three templates and writes states and log rows, all within the measured
time. Django gets mails that are built in advance and records nothing. django-post_office gets rendered mails in its
queue and writes their states and, unless its log is off, log rows.
"""

from collections.abc import Iterator
from functools import partial

from django.db import connection
from post_office.models import STATUS, Email, Log

from benchmarks import outbox
from benchmarks.contest import Contest, Entry, run_contest
from benchmarks.figures import Figures
from benchmarks.notification_events import BenchEvents
from benchmarks.peers.mails import build_mails
from benchmarks.place import Place
from benchmarks.processes import DEFAULTS, worker_options
from benchmarks.sameness import compare
from notifications.channels.email import EmailChannel

# Threads and batch size of the worker; None means the defaults.
KLAXON = (None, (2, 100), (4, 100))
# Sites send a notification to one person, or to many at once.
FORMS = {"Klaxon": 1, "Klaxon in sends to 1,000": 1000}
# Batch size and threads of each of the two processes.
POST_OFFICE = ((1000, 5), (1000, 1), (100, 5))
DJANGO = "Django's send_messages"
LOGGING, SILENT = "post_office", "post_office without log"


def run(place: Place) -> Iterator[Figures]:
    check_mails(place)
    yield from run_one_process(place)
    yield from run_two_processes(place)


def check_mails(place: Place) -> None:
    """Check that all sides send the same mail.

    :raises RuntimeError: if they do not.
    """
    outbox.clear()
    outbox.fill(BenchEvents.MAIL, 1)
    queue_in_post_office()
    sides = {
        DJANGO: ("benchmarks.peers.plain_django",),
        LOGGING: ("django", "send_queued_mail", f"--lockfile={place.file('lock')}"),
        "Klaxon": ("django", "dispatch_notifications", "--watch"),
    }
    folders = [place.folder / f"mails{number}" for number in range(len(sides))]
    for folder, module in zip(folders, sides.values(), strict=True):
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        place.record_mails({1}, 1, *module, folder=folder)
    compare(list(sides), folders)


def run_one_process(place: Place) -> Iterator[Figures]:
    entries = [*klaxon_entries(place, 1), Entry(DJANGO, "one connection", partial(measure_django, place))]
    chosen = run_contest(entries, place.size(3, 0))
    yield chosen.compare_defaults("email, one process", place.database, "Klaxon")
    for ours in FORMS:
        yield row(place, chosen, "email, one process", ours, DJANGO, 1)


def run_two_processes(place: Place) -> Iterator[Figures]:
    most = place.size(99, 1)
    entries = list(klaxon_entries(place, 2))
    for side, log_level in ((LOGGING, 2), (SILENT, 0)):
        for batch, threads in POST_OFFICE[-most:]:
            name = f"--processes 2, BATCH_SIZE {batch}, {threads} threads each"
            entries.append(Entry(side, name, partial(measure_post_office, place, batch, threads, log_level)))
    chosen = run_contest(entries, place.size(3, 0))
    yield chosen.compare_defaults("email, two processes", place.database, "Klaxon")
    for ours in FORMS:
        for peer in (LOGGING, SILENT):
            yield row(place, chosen, "email, two processes", ours, peer, 1.5)


def row(place: Place, chosen: Contest, what: str, ours: str, peer: str, target: float) -> Figures:
    form = ours.removeprefix("Klaxon ") if FORMS[ours] > 1 else "one notification each"
    details = f"{chosen.describe(ours)}, in groups of {EmailChannel.group_size}; {chosen.describe(peer)}"
    what = f"{what}, {form}, against {peer}"
    return Figures(what, place.database, chosen.ratio(ours, peer), "x", target, True, details)


def klaxon_entries(place: Place, processes: int) -> Iterator[Entry]:
    for side, each in FORMS.items():
        for setting in KLAXON[-place.size(99, 1) :]:
            options, name = worker_options(setting)
            yield Entry(side, name, partial(measure_klaxon, place, processes, options, each))
    yield Entry(f"Klaxon, {DEFAULTS}", DEFAULTS, partial(measure_klaxon, place, processes, []))


def fill_outbox(place: Place, each: int = 1) -> int:
    queued = place.size(4000, 1000)
    outbox.clear()
    outbox.fill(BenchEvents.MAIL, queued // each, each)
    return queued


def measure_klaxon(place: Place, processes: int, options: list[str], each: int = 1) -> float:
    queued = fill_outbox(place, each)
    return place.measure_mail_rate(queued, processes, "django", "dispatch_notifications", "--watch", *options)


def measure_django(place: Place) -> float:
    return place.measure_mail_rate(fill_outbox(place), 1, "benchmarks.peers.plain_django")


def measure_post_office(place: Place, batch: int, threads: int, log_level: int) -> float:
    queued = fill_outbox(place)
    queue_in_post_office()
    options = ("--processes=2", f"--log-level={log_level}", f"--lockfile={place.file('lock')}")
    env = {"BENCH_POST_OFFICE_BATCH": str(batch), "BENCH_POST_OFFICE_THREADS": str(threads)}
    return place.measure_mail_rate(queued, 1, "django", "send_queued_mail", *options, **env)


def queue_in_post_office() -> None:
    Log.objects.all().delete()
    Email.objects.all().delete()
    Email.objects.bulk_create(
        Email(
            from_email=mail.from_email,
            to=mail.to,
            subject=mail.subject,
            message=mail.body,
            html_message=mail.alternatives[0].content,
            headers=mail.extra_headers,
            status=STATUS.queued,
        )
        for mail in build_mails()
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
