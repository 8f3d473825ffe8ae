"""The procrastinate application, with the same task as the Celery application."""

import os
from urllib.parse import parse_qs, urlsplit

from procrastinate import App, PsycopgConnector

from benchmarks.discard import get_logger

uri = urlsplit(os.environ["KLAXON_POSTGRES"])
connector = PsycopgConnector(
    kwargs={
        "host": parse_qs(uri.query)["host"][0],
        "user": uri.username,
        "dbname": os.environ["KLAXON_DATABASE_NAME"],
    },
    max_size=int(os.environ.get("BENCH_POOL", "10")),
)
app = App(connector=connector)
logger = get_logger()


@app.task(name="noop")
async def noop(number: str) -> None:
    logger.info("Number %s.", number)
