"""Fill the tables of the admin with millions of rows, each table by one statement of the database.

The distribution is the one that is the hardest to read: what is rare is only in the oldest rows, so that a list that
is read from its newest row on would read all of the table to find it.
"""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management.color import no_style
from django.db import connection, models

from notifications.core.addresses import hash_address
from notifications.models import get_cluster_model

FIRST_TIME = "2025-01-01 00:00:00"
RARE = 100
"""The number of the oldest rows that contain rare values."""

# The number of rows for one delivery. All other tables have a hundredth.
SHARES: dict[str, float] = {
    "notification": 1,
    "delivery": 1,
    "notificationlog": 10,
    "logpersonal": 10,
    "inboxitem": 1,
    "trackingevent": 0.5,
    "webhookattempt": 0.5,
    "acknowledgement": 0.1,
    "escalationrun": 0.1,
    "escalationentry": 0.3,
    "usersettings": 0.1,
    "topicsubscription": 0.1,
    "mute": 0.1,
    "suppression": 0.1,
    "preferencechange": 0.1,
    "canfault": 0.1,
    "canalert": 0.1,
    "pushsubscription": 0.1,
    "device": 0.1,
    "bucket": 0.1,
    "rota": 0.001,
    "cluster": 0.001,
    "webhookendpoint": 0.001,
    "user": 0.1,
}
# These contain one row for each process, provider or channel.
FEW = {"circuit": 10, "heartbeat": 10, "pause": 2}

COMMON_EVENT, RARE_EVENT = "bench_mail", "bench_rare"
EVENT = f"CASE WHEN n <= {RARE} THEN '{RARE_EVENT}' WHEN n % 2 = 0 THEN '{COMMON_EVENT}' ELSE 'bench_noop' END"
CHANNEL = f"CASE WHEN n <= {RARE} THEN 'wire' WHEN n % 3 = 0 THEN 'log' ELSE 'email' END"
REASON = f"CASE WHEN n <= {RARE} THEN 'lost_contact' WHEN n % 10 = 0 THEN 'preference' ELSE '' END"
# The pages read these too, the first ones before and the last ones after the models that have a page.
FIRST = ("notification", "delivery", "notificationlog", "rota", "webhookendpoint")
LAST = ("logpersonal", "escalationentry", "stafftemplateversion")
# The first deliveries are dead, some after them are unknown, and the last ones wait; the others are finished.
STATE = (
    "CASE WHEN n <= {total} / 500 THEN 'dead' WHEN n <= {total} / 400 THEN 'unknown' WHEN n <= {total} / 350 THEN "
    "'held' WHEN n > {total} - {total} / 100 THEN 'ready' WHEN n % 10 = 0 THEN 'dropped' WHEN n % 10 = 1 THEN "
    "'merged' ELSE 'sent' END"
)
# The first cluster has most rows, the last one only some of the oldest.
CLUSTER = "CASE WHEN n <= {rare} THEN {clusters} WHEN n % 3 > 0 THEN 1 ELSE 1 + n % ({clusters} - 1) END"
# A recipient with many rows, all of them old.
RECIPIENT = "CASE WHEN n <= {total} / 50 THEN 2 WHEN n % 50 = 0 THEN NULL ELSE 3 + n % ({users} - 2) END"

COLUMNS: dict[str, dict[str, str]] = {
    "user": {"username": "'person' || n", "email": "'person' || n || '@example.com'", "is_active": "true"},
    "cluster": {"name": "'Cluster ' || n", "slug": "'cluster-' || n"},
    "notification": {
        "cluster_id": CLUSTER,
        "event": EVENT,
        "priority": f"CASE WHEN n <= {RARE} THEN 1 ELSE 3 END",
        "correlation_id": "'n' || n",
        "cancel_key": "CASE WHEN n % 10 = 0 THEN 'order-' || n ELSE NULL END",
        "context": """'{"number": "7"}'""",
    },
    "delivery": {
        "notification_id": "n",
        "recipient_id": RECIPIENT,
        "recipient_key": "'u:' || n",
        "address": "'person' || n || '@example.com'",
        "address_hash": f"CASE WHEN n % 50 = 0 THEN '{hash_address('somebody@example.com')}' ELSE 'h' || n END",
        "channel": CHANNEL,
        "state": STATE,
        "reason": REASON,
        "attempts": "1",
        "provider_message_id": "'m' || n",
        "due_at": "CASE WHEN n > {total} - {total} / 100 OR n <= {total} / 350 THEN {time} ELSE NULL END",
        "settled_at": "CASE WHEN n > {total} - {total} / 100 THEN NULL ELSE {time} END",
    },
    "notificationlog": {
        "kind": f"CASE WHEN n <= {RARE} THEN 'resent' WHEN n % 10 = 0 THEN 'drop' ELSE 'attempt' END",
        "cluster_id": CLUSTER,
        "event": EVENT,
        "channel": CHANNEL,
        "success": "n % 10 > 0",
        "reason": REASON,
        "recipient_id": RECIPIENT,
        "recipient_key": "'u:' || n",
        "notification_id": "1 + n / 10",
        "delivery_id": "1 + n / 10",
        "correlation_id": "'n' || (n / 10)",
        "attempt": "1",
    },
    "logpersonal": {"log_id": "n", "address": "'p***@example.com'"},
    "inboxitem": {
        "cluster_id": CLUSTER,
        "event": EVENT,
        "recipient_id": "CASE WHEN n <= {total} / 50 THEN 2 ELSE 3 + n % ({users} - 2) END",
        "delivery_id": "n",
        "priority": f"CASE WHEN n <= {RARE} THEN 1 ELSE 3 END",
        "title": "'Title ' || n",
        "read_at": f"CASE WHEN n > {RARE} THEN {{time}} ELSE NULL END",
        "icon": "''",
    },
    "trackingevent": {
        "delivery_id": "n",
        "kind": f"CASE WHEN n <= {RARE} THEN 'bounced' ELSE 'opened' END",
        "is_machine": f"n <= {RARE}",
        "source": "'pixel'",
    },
    "webhookendpoint": {"cluster_id": "n", "url": "'https://example.com/' || n", "owner_id": "3"},
    "webhookattempt": {"accepted": f"n > {RARE}", "status": "200", "url": "'https://example.com/hook'"},
    "acknowledgement": {"notification_id": "n", "user_id": "3 + n % ({users} - 2)"},
    "escalationrun": {
        "event": EVENT,
        "state": f"CASE WHEN n <= {RARE} THEN 'active' ELSE 'resolved' END",
        "due_at": f"CASE WHEN n <= {RARE} THEN {{time}} ELSE NULL END",
        "pages": """'[[900, 1, 0, ["user:person3"], []]]'""",
        "repeat_every": "{hour}",
        "acknowledged_by_id": "3 + n % ({users} - 2)",
    },
    "escalationentry": {"kind": "'started'", "run_id": "1 + n / 3"},
    "escalationpolicy": {"event": "'event_' || n", "repeat_every": "{hour}"},
    "rota": {"key": "'rota-' || n", "name": "'Rota ' || n", "time_zone": "'UTC'"},
    "rotalayer": {"rota_id": "1 + n % {rotas}"},
    "timeoff": {"user_id": "3 + n % ({users} - 2)"},
    "usersettings": {"cluster_id": CLUSTER, "user_id": "n"},
    "topicsubscription": {"cluster_id": CLUSTER, "user_id": "n", "topic": "'topic-' || (n % 500)"},
    "mute": {"cluster_id": CLUSTER, "user_id": "n", "kind": "'topic'", "value": "'sale'"},
    "sharedpreference": {"cluster_id": "1 + n % {clusters}", "group_id": "n", "rank": "1"},
    "suppression": {
        "address_hash": "'s' || n",
        "kind": "'email'",
        "reason": f"CASE WHEN n <= {RARE} THEN 'complaint' ELSE 'hard_bounce' END",
        "is_active": f"n > {RARE}",
    },
    "preferencechange": {"subject": "'u:' || (n % {users})", "by_id": "3", "cluster_id": CLUSTER},
    "canfault": {
        "bus": f"CASE WHEN n <= {RARE} THEN 'can9' ELSE 'can0' END",
        "correlation_id": "'f' || n",
        "severity": f"CASE WHEN n <= {RARE} THEN 3 ELSE 1 END",
        "cleared_at": "CASE WHEN n <= 40 THEN NULL ELSE {time} END",
        "source_address": "n % 250",
        "dsa": "n % 250",
    },
    "canalert": {
        "bus": f"CASE WHEN n <= {RARE} THEN 'can9' ELSE 'can0' END",
        "rule": "'rule-' || (n % 20)",
        "correlation_id": "'a' || n",
        "severity": f"CASE WHEN n <= {RARE} THEN 3 ELSE 1 END",
        "ended_at": "CASE WHEN n <= 40 THEN NULL ELSE {time} END",
        "source_address": "n % 250",
    },
    "candevice": {"bus": "'can' || (n / 250)", "source_address": "n % 250"},
    "pushsubscription": {"user_id": "3 + n % ({users} - 2)"},
    "device": {"user_id": "3 + n % ({users} - 2)", "platform": "'android'"},
    "stafftemplate": {"event": "'event_' || n", "channel": "'email'", "language": "'en'"},
    "stafftemplateversion": {"template_id": "n", "number": "1"},
    "trackingfigure": {
        "event": "'event_' || n",
        "metric": "'sent'",
        "cluster_id": "1 + n % {clusters}",
    },
    "bucket": {"key": "'user:1:u:' || n"},
    "heartbeat": {"owner": "'worker-' || n"},
    "pause": {"channel": "'channel-' || n"},
    "circuit": {"key": "'email provider' || n"},
}


def fill(deliveries: int) -> dict[str, int]:
    """Fill the tables of all models that have a page in the admin. Return the number of rows of each table."""
    counts = {name: max(2, int(deliveries * share)) for name, share in SHARES.items()} | FEW
    counts["cluster"] = max(counts["cluster"], 5)
    counts["user"] = max(counts["user"], counts["usersettings"])
    written: dict[str, int] = {}
    # Those of other benchmarks, and the cluster that a migration has added.
    for model in (get_user_model(), apps.get_model("auth.Group"), get_cluster_model()):
        model._default_manager.all().delete()
    for model in list_models():
        name = model._meta.model_name or ""
        written[name] = counts.get(name, max(deliveries // 100, 4))
        insert_rows(model, written[name], written)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return written


def list_models() -> list[type[models.Model]]:
    """Return the models to fill, parents first."""
    first: list[Any] = [get_user_model(), apps.get_model("auth.Group"), get_cluster_model()]
    first += [apps.get_model("klaxon", name) for name in FIRST]
    shown = [model for model in admin.site._registry if model._meta.app_label == "klaxon" and model not in first]
    return [*first, *shown, *(apps.get_model("klaxon", name) for name in LAST)]


def insert_rows(model: type[models.Model], count: int, written: dict[str, int]) -> None:
    """Insert rows numbered from 1 by one statement."""
    given = COLUMNS.get(model._meta.model_name or "", {})
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.GeneratedField)]
    values = {field.column: given.get(field.column) or build_value(field, written) for field in fields}
    words = {
        "total": count,
        "rare": RARE,
        "users": written.get("user", count),
        "clusters": written.get("cluster", count),
        "rotas": written.get("rota", 1),
        "time": build_time(),
        "hour": "INTERVAL '1 hour'" if connection.vendor == "postgresql" else "3600000000",
    }
    expressions = [fill_in(value, words) for value in values.values()]
    quoted = ", ".join(map(connection.ops.quote_name, values))
    table = connection.ops.quote_name(model._meta.db_table)
    rows = f"INSERT INTO {table} ({quoted}) SELECT {', '.join(expressions)} FROM numbers"  # noqa: S608 - no input
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(rows.replace("FROM numbers", f"FROM generate_series(1, {count}) AS numbers(n)"))
            for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
                cursor.execute(statement)
        else:
            numbers = f"numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
            cursor.execute(f"WITH RECURSIVE {numbers} {rows}")


def fill_in(value: str, words: dict[str, Any]) -> str:
    # Not str.format(), because JSON contains braces.
    for name, word in words.items():
        value = value.replace("{" + name + "}", str(word))
    return value


def build_time() -> str:
    if connection.vendor == "postgresql":
        return f"TIMESTAMPTZ '{FIRST_TIME}+00' + n * INTERVAL '3 seconds'"
    return f"datetime('{FIRST_TIME}', '+' || (n * 3) || ' seconds')"


def build_value(field: Any, written: dict[str, int]) -> str:
    """Return an expression for the column of a field that has none in ``COLUMNS``."""
    if field.primary_key and not field.remote_field:
        return "n"
    if field.remote_field and not field.null:
        parents = written.get(field.related_model._meta.model_name, 1)
        return "n" if field.unique else f"1 + n % {parents}"
    if field.null:
        return "NULL"
    return build_text(field) if isinstance(field, (models.CharField, models.TextField)) else build_other(field)


def build_text(field: Any) -> str:
    if field.unique:
        return "'x' || n"
    default = field.get_default() if field.has_default() and not callable(field.default) else ""
    return f"'{default or (field.choices[0][0] if field.choices and not field.blank else '')}'"


def build_other(field: Any) -> str:
    if isinstance(field, models.JSONField):
        return f"'{'[]' if field.get_default() == [] else '{}'}'"
    if isinstance(field, models.BooleanField):
        return "true" if field.get_default() is True else "false"
    if isinstance(field, models.DateTimeField):
        return build_time()
    if isinstance(field, models.DateField):
        return "DATE '2025-01-01'" if connection.vendor == "postgresql" else "'2025-01-01'"
    if isinstance(field, models.TimeField):
        return "TIME '08:00'" if connection.vendor == "postgresql" else "'08:00:00'"
    if isinstance(field, models.DurationField):
        return "{hour}"
    return str(field.get_default() or 0)
