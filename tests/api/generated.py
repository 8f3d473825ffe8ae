"""Requests that schemathesis generates from the description, and what it finds."""

import json
from collections import Counter
from dataclasses import dataclass, field

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

# Beyond its schema, a valid body must fit the site: its events, languages, addresses and times. Then the answer is 422.
# It is 422 too if a generated idempotency key was used before, with another request.
DEPENDS_ON_THE_SITE = {
    *("send", "resend", "putPreferences", "patchPreferences", "putAddress", "snoozeItem", "subscribe", "unsubscribe"),
    *("addTemplate", "addVersion", "publishTemplate", "addSuppression", "summarize"),
    *("createEndpoint", "updateEndpoint", "replayFailed"),
    *("startEscalation", "escalateNow", "snoozeEscalation", "handOverEscalation"),
}
# A cursor is opaque. What looks like one can belong to another list.
HAS_CURSOR = {
    *("listInbox", "listDeliveries", "listTemplates", "listVersions", "listSuppressions"),
    *("listEndpoints", "listAttempts", "listEscalations", "listRotas"),
}


@dataclass
class Found:
    """The number of requests by status, and the failures."""

    statuses: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)


def make_config(headers, examples, phases):
    generation = {
        **{"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
        # A generated key beside the session of a user would be refused before anything else happens.
        "with-security-parameters": not headers,
    }
    accepts = {"checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "4xx"]}}}
    tolerant = sorted(DEPENDS_ON_THE_SITE | HAS_CURSOR)
    return SchemathesisConfig.from_dict(
        {
            "headers": headers,
            "workers": 1,
            # The machine of the tests may have other things to do.
            "request-timeout": 120,
            # 413 is an answer to an invalid request too.
            "checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}},
            "continue-on-failure": True,
            "generation": generation,
            "phases": {name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")},
            "operations": [{"include-operation-id": tolerant, **accepts}],
        }
    )


def call_all(url, headers, examples, phases=("fuzzing", "stateful")):
    """Call all operations as a caller and check every answer with all checks."""
    schema = schemathesis.openapi.from_url(
        f"{url}/api/openapi.json", config=make_config(headers, examples, phases), timeout=120
    )
    found = Found()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            error = getattr(event, "value", None) or event.exception
            found.failures.append(f"{getattr(event, 'label', '')}: {error!r}")
        elif isinstance(event, events.ScenarioFinished):
            read_scenario(event, found)
    return found


def read_scenario(event, found):
    for interaction in event.recorder.interactions.values():
        if interaction.response is not None:
            found.statuses[interaction.response.status_code] += 1
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.status is Status.FAILURE:
                failure = check.failure_info.failure
                found.failures.append(
                    f"{event.label} {check.name}: {failure.title}: {failure.message}\n{check.failure_info.code_sample}"
                )


def format_failures(failures):
    return json.dumps(failures, indent=1, ensure_ascii=False)
