"""The house holds: imports run downwards, and the two wings meet only at the tables."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import notifications

ROOT = Path(notifications.__file__).parent

# A room is a module or package of notifications/, or one of the parts of a package that have a floor of their own.
FLOORS = {
    0: {
        "conf",
        "core",
        "delays",
        "exceptions",
        "outcomes",
        "sqlite",
        "storage.engine",
        "storage.postgres",
        "storage.sqlite",
    },
    1: {"attachments", "context", "events", "recipients", "signals"},
    2: {"mail", "models", "storage"},
    3: {"channels", "formats", "preferences"},
    4: {
        "sending.audience",
        "sending.gates",
        "delivering.limits",
        "delivering.providers",
        "delivering.rendering",
    },
    5: {"sending", "delivering"},
    6: {"explain", "spool"},
    7: {"manager"},
    8: {
        "celery",
        "devices",
        "digests",
        "email_setup",
        "escalation",
        "inbox",
        "monitoring",
        "preference_centre.clusters",
        "preference_centre.widgets",
        "staff_templates",
        "tasks",
        "tracking",
        "unsubscribe",
        "webhooks",
    },
    9: {
        "admin",
        "can",
        "escalation.pages",
        "live",
        "magic_links",
        "monitoring.doctor",
        "monitoring.alarm",
        "monitoring.pages",
        "phone",
        "preference_centre",
        "push",
        "pushover",
        "sensitive",
        "webhooks.pages",
    },
    10: {"api", "apps", "checks", "urls", "testing", "management", "templatetags"},
}
SIDEWAYS_TOO = {0, 1, 2}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
DELIVERING = {"channels", "delivering", "delivering.limits", "delivering.providers", "delivering.rendering"}
SENDING = {"explain", "manager", "preferences", "sending", "sending.audience", "sending.gates", "spool"}
OPEN_TO_DELIVERING = {"sending.gates"}


def modules() -> Iterator[Path]:
    return (path for path in ROOT.rglob("*.py") if "migrations" not in path.parts and path != ROOT / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    _, *parts = module.split(".")
    nested = ".".join(parts[:2])
    return nested if nested in FLOOR_OF else parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module of ours that is imported, a submodule under its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("notifications."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "notifications":
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if node.module == "notifications" or is_module(longer) else node.module


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def arrows() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        found[name_of(path)] = set(imports(ast.parse(path.read_text())))
    return found


def crossing() -> Iterator[tuple[str, str]]:
    """Arrows that leave a room. What apps.py imports in ready() is the one exception."""
    for module, imported in arrows().items():
        for target in imported:
            if room_of(module) != room_of(target) and module != "notifications.apps":
                yield module, target


def test_every_room_has_its_floor():
    assert {room_of(name_of(path)) for path in modules()} == set(FLOOR_OF)


def test_imports_run_downwards():
    wrong = [
        f"{module} imports {target}"
        for module, target in crossing()
        if FLOOR_OF[room_of(target)] >= FLOOR_OF[room_of(module)]
        and not (FLOOR_OF[room_of(target)] == FLOOR_OF[room_of(module)] and FLOOR_OF[room_of(module)] in SIDEWAYS_TOO)
    ]
    assert wrong == []


def test_the_sending_wing_imports_nothing_of_the_delivering_wing():
    assert [pair for pair in crossing() if room_of(pair[0]) in SENDING and room_of(pair[1]) in DELIVERING] == []


def test_the_delivering_wing_imports_only_the_gates_of_the_sending_wing():
    closed = SENDING - OPEN_TO_DELIVERING
    assert [pair for pair in crossing() if room_of(pair[0]) in DELIVERING and room_of(pair[1]) in closed] == []


def test_nothing_imports_in_circles():
    graph = {module: targets - {module} for module, targets in arrows().items()}
    # A package's face hands on the names of its own rooms; that is no circle.
    for module, targets in graph.items():
        targets.difference_update({target for target in targets if module.startswith(f"{target}.")})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"Circle: {' -> '.join(error.args[1])}") from error


def test_our_own_modules_are_imported_at_the_top():
    wrong = []
    for path in modules():
        if path == ROOT / "apps.py":
            continue
        tree = ast.parse(path.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            wrong += [f"{path.name}:{function.name} imports {name}" for name in imports(function)]
    assert wrong == []


def test_the_domain_of_the_examples_stays_out():
    words = ("estate", "coach", "hospital", "residency")
    found = [
        f"{path.name}: {word}"
        for path in modules()
        for word in words
        if any(
            isinstance(node, ast.Name | ast.ClassDef | ast.FunctionDef) and word in name(node) for node in walk(path)
        )
    ]
    assert found == []


def walk(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def name(node: ast.AST) -> str:
    return (node.id if isinstance(node, ast.Name) else node.name).lower()


def test_no_tuple_of_one_lacks_its_comma():
    """``x in (y)`` asks whether x is a part of the text y."""
    lacking = re.compile(r"\b(not )?in \([\w.]+\)")
    lines = [(path.name, line) for path in modules() for line in path.read_text().splitlines()]
    assert [pair for pair in lines if lacking.search(pair[1])] == []


# Other code takes what differs between databases from the engine, see notifications/storage/engine.py.
MAY_ASK_THE_VENDOR = {
    "notifications.storage.engine",
    "notifications.checks.databases",
    "notifications.core.connections",
    "notifications.delivering.workers.wake_up",
}


def test_only_the_engines_differ_between_databases():
    asking = {
        name_of(path)
        for path in modules()
        if any(isinstance(node, ast.Attribute) and node.attr == "vendor" for node in walk(path))
    }
    assert asking == MAY_ASK_THE_VENDOR
