"""``python -m benchmarks.footprint``: count the files and functions that one mail passes through.

It queues a mail on SQLite and delivers it with a dispatcher, as a worker's thread does. It counts the files and
functions of ``notifications/`` that Python enters from the call of ``send()`` until the delivery is *sent*; lambdas and
comprehensions are functions too. It counts the first mail of a process, which also fills the caches, and the second.
``--list`` names the functions.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent / "notifications"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the functions, file by file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        set_up(Path(folder))
        # This imports models, which is possible only now.
        from django.contrib.auth.models import User

        user = User.objects.create_user("customer", "customer@example.com")
        for name in ("first mail", "second mail"):
            with trace() as codes:
                deliver_one(user)
            files = group_by_file(codes)
            print(f"{name}: {len(files)} files, {sum(map(len, files.values()))} functions")
    if options.list:
        for file, functions in sorted(files.items()):
            print(f"\n{file}\n  " + "\n  ".join(sorted(functions)))


def set_up(folder: Path) -> None:
    os.environ.update(
        KLAXON_TEST_DB="sqlite",
        KLAXON_DATABASE_NAME=str(folder / "db.sqlite3"),
        DJANGO_SETTINGS_MODULE="benchmarks.settings",
    )
    from django.conf import settings
    from django.core.management import call_command

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    django.setup()
    call_command("migrate", verbosity=0)


def deliver_one(user: Any) -> None:
    from benchmarks.notification_events import BenchEvents
    from benchmarks.send import CONTEXT
    from notifications.delivering.dispatcher import Dispatcher
    from notifications.manager import NotificationManager
    from notifications.models import Delivery

    result = NotificationManager.send(BenchEvents.MAIL, [user], None, CONTEXT)
    Dispatcher().run_until_idle()
    [state] = Delivery.objects.filter(notification=result.notification_id).values_list("state", flat=True)
    if state != "sent":
        raise SystemExit(f"The delivery is {state} and not sent.")


@contextmanager
def trace() -> Iterator[set[CodeType]]:
    """Collect the functions of ``notifications/`` that any thread enters."""
    codes: set[CodeType] = set()
    profile = record_into(codes)
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield codes
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def record_into(codes: set[CodeType]) -> Callable[[FrameType, str, Any], None]:
    root = str(ROOT)

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(root):
            codes.add(frame.f_code)

    return profile


def group_by_file(codes: set[CodeType]) -> dict[str, set[str]]:
    files: dict[str, set[str]] = defaultdict(set)
    for code in codes:
        files[str(Path(code.co_filename).relative_to(ROOT.parent))].add(f"{code.co_qualname}:{code.co_firstlineno}")
    return files


if __name__ == "__main__":
    main()
