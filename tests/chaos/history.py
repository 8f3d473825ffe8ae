"""A second witness, inside the database: a trigger that writes down every committed change of a delivery's state.

It shows the life of a row that was lost, and that no worker ever made a move that the table of transitions forbids.
"""

from django.db import connection

from notifications.core.transitions import TRANSITIONS

COLUMNS = "delivery bigint, was text, state text, fence integer, owner text"
VALUES = "NEW.id, OLD.state, NEW.state, NEW.fence, CASE NEW.owner WHEN '' THEN OLD.owner ELSE NEW.owner END"
INSERT = f"INSERT INTO chaos_history (delivery, was, state, fence, owner) VALUES ({VALUES})"
WHEN = "AFTER UPDATE ON klaxon_delivery FOR EACH ROW WHEN (OLD.state <> NEW.state)"
SQLITE = [
    f"CREATE TABLE chaos_history (id integer PRIMARY KEY AUTOINCREMENT, {COLUMNS})",
    f"CREATE TRIGGER chaos_history {WHEN} BEGIN {INSERT}; END",
]
POSTGRESQL = [
    f"CREATE TABLE chaos_history (id bigserial PRIMARY KEY, {COLUMNS})",
    f"CREATE FUNCTION chaos_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {INSERT}; RETURN NULL; END $$",
    f"CREATE TRIGGER chaos_history {WHEN} EXECUTE FUNCTION chaos_history()",
]


def keep() -> None:
    """Install the trigger, once in the life of a database."""
    with connection.cursor() as cursor:
        for statement in SQLITE if connection.vendor == "sqlite" else POSTGRESQL:
            cursor.execute(statement)


def forget() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM chaos_history")


def forbidden_moves() -> int:
    """Changes of state that the table of transitions does not know."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT was, state, count(*) FROM chaos_history GROUP BY was, state")
        return sum(count for was, state, count in cursor.fetchall() if state not in TRANSITIONS.get(was, ()))


def life_of(delivery: int) -> str:
    """All moves of one delivery, in order, with the fence and the process of each."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT was, state, fence, owner FROM chaos_history WHERE delivery = %s ORDER BY id", [delivery])
        moves = [f"{was}>{state} f{fence} {owner.split(':')[1:2]}" for was, state, fence, owner in cursor.fetchall()]
    return f"#{delivery}: {', '.join(moves) or 'never moved'}"
