"""The list of examinations, and how they are run: an error of one does not keep the others from running."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from notifications.core.databases import is_missing_migration, is_outage
from notifications.exceptions import MissingExtra
from notifications.monitoring.doctor.channels import examine_channels
from notifications.monitoring.doctor.connections import examine_listen, examine_pool
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.escalations import examine_escalations, examine_rotas
from notifications.monitoring.doctor.mail import examine_mail
from notifications.monitoring.doctor.schema import examine_migrations, examine_schema
from notifications.monitoring.doctor.services import examine_celery, examine_redis, examine_tasks
from notifications.monitoring.doctor.settings import examine_settings
from notifications.monitoring.doctor.site import Site
from notifications.monitoring.doctor.sqlite import examine_sqlite
from notifications.monitoring.doctor.templates import examine_templates
from notifications.monitoring.probes import PROBES, Probe

logger = logging.getLogger("notifications.doctor")

RUNNING = "Running system"
MIGRATE = "Run `manage.py migrate`."


@dataclass(frozen=True)
class Examination:
    """One examination.

    :param name: names it for ``--only``.
    :param area: the title under which its results are shown.
    :param run: yields the results.
    :param needs_database: whether it cannot run without the database.
    """

    name: str
    area: str
    run: Callable[[Site], Iterable[Diagnosis]]
    needs_database: bool = False


def examine_database(site: Site) -> Iterator[Diagnosis]:
    """Connect to the database."""
    if fault := site.database_fault:
        remedy = f"Check that the server runs, and DATABASES[{site.using!r}]. The other examinations go on without it."
        yield Diagnosis(Status.ERROR, "database", f"The database cannot be used: {fault}", remedy)
    else:
        yield Diagnosis(Status.OK, "database", f"The database {site.using!r} answers.")


EXAMINATIONS = (
    Examination("settings", "Settings", examine_settings),
    Examination("database", "Database", examine_database),
    Examination("migrations", "Database", examine_migrations, needs_database=True),
    Examination("schema", "Database", examine_schema, needs_database=True),
    Examination("sqlite", "Database", examine_sqlite, needs_database=True),
    Examination("pool", "Database", examine_pool, needs_database=True),
    Examination("listen", "Database", examine_listen, needs_database=True),
    Examination("redis", "Services", examine_redis),
    Examination("celery", "Services", examine_celery),
    Examination("tasks", "Services", examine_tasks),
    Examination("channels", "Channels", examine_channels),
    Examination("mail", "Channels", examine_mail),
    Examination("templates", "Templates", examine_templates),
    Examination("escalations", "Escalations", examine_escalations, needs_database=True),
    Examination("rotas", "Escalations", examine_rotas, needs_database=True),
)


def list_examinations() -> list[Examination]:
    """Return all examinations. Each probe is one too."""
    probes = [
        Examination(name, RUNNING, partial(_run_probe, probe), needs_database=True) for name, probe in PROBES.items()
    ]
    return [*EXAMINATIONS, *probes]


def _run_probe(probe: Probe, site: Site) -> Iterable[Diagnosis]:
    return map(Diagnosis.from_finding, probe(site.using, site.now))


def run(examination: Examination, site: Site) -> list[Diagnosis]:
    """Return the results of one examination. Every error that it raises is one of them."""
    if examination.needs_database and site.database_fault:
        return [_leave_out(examination, "The database cannot be used.", "See the result of `database`.")]
    try:
        return list(examination.run(site))
    except Error as error:
        text = " ".join(str(error).split())
        if is_missing_migration(error):
            return [_leave_out(examination, f"A table or a column is missing: {text}", MIGRATE)]
        if is_outage(error):
            return [_leave_out(examination, f"The database cannot be used: {text}", "See the result of `database`.")]
        return [_report_failure(examination, error)]
    except ImproperlyConfigured as error:
        return [_leave_out(examination, str(error), "Correct the settings first. See the result of `settings`.")]
    except MissingExtra as error:
        return [_leave_out(examination, str(error), "Install the package, or do without this examination.")]
    except Exception as error:  # noqa: BLE001 - code of the site may raise anything, and the others must run
        return [_report_failure(examination, error)]


def _leave_out(examination: Examination, why: str, remedy: str) -> Diagnosis:
    return Diagnosis(Status.UNCHECKED, examination.name, why, remedy)


def _report_failure(examination: Examination, error: Exception) -> Diagnosis:
    logger.error("The examination %r failed.", examination.name, exc_info=error)
    detail = f"The examination failed: {type(error).__name__}: {' '.join(str(error).split())}"
    remedy = "Look for the traceback in the log 'notifications.doctor'. It names the code that failed."
    return Diagnosis(Status.ERROR, examination.name, detail, remedy)
