"""The Celery application, with one task that logs a line to the discarding logger."""

import os
import sys

from celery import Celery

from benchmarks.discard import get_logger

app = Celery("benchmarks", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
logger = get_logger()


@app.task(name="noop")
def noop(number: str) -> None:
    logger.info("Number %s.", number)


def fill(count: int) -> None:
    """Queue this number of tasks."""
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            noop.apply_async((str(number),), producer=producer)


if __name__ == "__main__":
    fill(int(sys.argv[1]))
