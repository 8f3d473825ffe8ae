"""The procrastinate application: the same task, and nothing to wait for in it."""

import os
from urllib.parse import parse_qs, urlsplit

from procrastinate import App, PsycopgConnector

from benchmarks.discard import discarding

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
logger = discarding()


@app.task(name="noop")
async def noop(number: str) -> None:
    logger.info("Number %s.", number)
