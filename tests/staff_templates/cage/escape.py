"""A program for the cage whose template has already escaped: it runs the Python code that it is asked to."""

from collections.abc import Iterator
from typing import Any

from notifications.staff_templates.cage.child import serve


def run(request: Any) -> Iterator[Any]:
    for code in request["jobs"]:
        found: dict[str, Any] = {}
        try:
            exec(compile(code, "<escaped>", "exec"), found)
        except Exception as error:  # noqa: BLE001 - it is the answer
            yield {"refused": f"{type(error).__name__}: {error}"}
        else:
            yield {"result": repr(found.get("result"))}


def main() -> None:
    # Modules that a real child has not loaded, so that only the kernel and the audit hook refuse.
    import _socket  # noqa: F401
    import ctypes  # noqa: F401
    import glob  # noqa: F401
    import mmap  # noqa: F401
    import subprocess  # noqa: F401
    import threading  # noqa: F401

    serve(run)
