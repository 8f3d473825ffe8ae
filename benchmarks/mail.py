"""Email to an SMTP server that takes everything at once, so that only the sender's own work counts.

Klaxon claims, asks its gates again, renders three templates and writes states and log rows, all of it measured. Django
alone gets mails that are built already and keeps nothing. django-post_office gets rendered mails in its queue, writes
their states and, unless told not to, log rows.
"""

from collections.abc import Iterator
from functools import partial

from django.db import connection
from post_office.models import STATUS, Email, Log

from benchmarks import outbox
from benchmarks.contest import Contest, Entry, contest
from benchmarks.figures import Figures
from benchmarks.notification_events import BenchEvents
from benchmarks.peers.mails import mails
from benchmarks.place import Place
from benchmarks.processes import worker_options
from benchmarks.sameness import compare
from notifications.channels.email import EmailChannel

# Threads and batch size of the worker; None leaves both as they are.
KLAXON = (None, (2, 100), (4, 100))
# Batch size, and threads of each of the two processes.
POST_OFFICE = ((1000, 5), (1000, 1), (100, 5))
DJANGO = "Django's send_messages"
LOGGING, SILENT = "post_office", "post_office without log"


def run(place: Place) -> Iterator[Figures]:
    make_sure(place)
    yield from alone(place)
    yield from in_pairs(place)


def make_sure(place: Place) -> None:
    """One mail by each side: they must be alike."""
    outbox.empty()
    outbox.fill(BenchEvents.MAIL, 1)
    hand_over_to_post_office()
    sides = {
        DJANGO: ("benchmarks.peers.plain_django",),
        LOGGING: ("django", "send_queued_mail", f"--lockfile={place.file('lock')}"),
        "Klaxon": ("django", "dispatch_notifications", "--watch"),
    }
    folders = [place.folder / f"mails{number}" for number in range(len(sides))]
    for folder, module in zip(folders, sides.values(), strict=True):
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        place.mailed({1}, 1, *module, folder=folder)
    compare(list(sides), folders)


def alone(place: Place) -> Iterator[Figures]:
    entries = [*klaxons(place, 1), Entry(DJANGO, "one connection", partial(plain_django, place))]
    chosen = contest(entries, place.size(3, 1))
    yield row(place, chosen, "email, one process", DJANGO, 1)


def in_pairs(place: Place) -> Iterator[Figures]:
    most = place.size(99, 1)
    entries = list(klaxons(place, 2))
    for side, log_level in ((LOGGING, 2), (SILENT, 0)):
        for batch, threads in POST_OFFICE[-most:]:
            name = f"--processes 2, BATCH_SIZE {batch}, {threads} threads each"
            entries.append(Entry(side, name, partial(post_office, place, batch, threads, log_level)))
    chosen = contest(entries, place.size(3, 1))
    for side in (LOGGING, SILENT):
        yield row(place, chosen, "email, two processes", side, 1.5)


def row(place: Place, chosen: Contest, what: str, peer: str, target: float) -> Figures:
    told = f"{chosen.told('Klaxon')}, in groups of {EmailChannel.group_size}; {chosen.told(peer)}"
    return Figures(f"{what}, against {peer}", place.database, chosen.ratio("Klaxon", peer), "x", target, True, told)


def klaxons(place: Place, processes: int) -> Iterator[Entry]:
    for setting in KLAXON[-place.size(99, 1) :]:
        options, name = worker_options(setting)
        yield Entry("Klaxon", name, partial(klaxon, place, processes, options))


def queue(place: Place) -> int:
    queued = place.size(4000, 1000)
    outbox.empty()
    outbox.fill(BenchEvents.MAIL, queued)
    return queued


def klaxon(place: Place, processes: int, options: list[str]) -> float:
    return place.mailed_per_second(queue(place), processes, "django", "dispatch_notifications", "--watch", *options)


def plain_django(place: Place) -> float:
    return place.mailed_per_second(queue(place), 1, "benchmarks.peers.plain_django")


def post_office(place: Place, batch: int, threads: int, log_level: int) -> float:
    queued = queue(place)
    hand_over_to_post_office()
    options = ("--processes=2", f"--log-level={log_level}", f"--lockfile={place.file('lock')}")
    env = {"BENCH_POST_OFFICE_BATCH": str(batch), "BENCH_POST_OFFICE_THREADS": str(threads)}
    return place.mailed_per_second(queued, 1, "django", "send_queued_mail", *options, **env)


def hand_over_to_post_office() -> None:
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
        for mail in mails()
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
