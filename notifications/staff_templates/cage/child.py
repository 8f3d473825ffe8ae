"""The program that runs in the cage. It reads requests from descriptor 0 and writes answers to descriptor 1.

A request is the length of a JSON text, in four bytes, and the text. The answers are one frame for each message, written
as soon as it is rendered: the lengths of the frame and of a JSON text, the text, and the rendered parts, whose lengths
the text gives. JSON would have to escape the parts. The first frame names the layers of the lockdown.
"""

import codecs
import gc
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from notifications.staff_templates.cage.budget import MAX_OUTPUT_CHARACTERS
from notifications.staff_templates.cage.child_values import build_values
from notifications.staff_templates.cage.lockdown import lock_down

LENGTH, LENGTHS = struct.Struct(">I"), struct.Struct(">II")
Handler = Callable[[Any], Iterator[Any]]
HTML = "html"
ERROR_LENGTH = 300


def main() -> None:
    serve(build_handler())


def serve(handle: Handler) -> None:
    """Lock this process down and answer requests until the parent closes the pipe."""
    for module in LATE_IMPORTS:
        import_module(module)
    for encoding in LATE_CODECS:
        codecs.lookup(encoding)
    json.loads(json.dumps({"é": [1.5, None]}))
    layers = lock_down()
    write_frame({"layers": layers, "seconds": time.thread_time()})
    while (request := read_request()) is not None:
        for answer in handle(request):
            write_frame(answer)


# What Python and Jinja2 import only when they need it, which is impossible after the lockdown.
LATE_IMPORTS = ("_strptime", "html", "pprint", "textwrap")
LATE_CODECS = ("ascii", "latin-1", "raw_unicode_escape", "unicode_escape", "utf-8")


def read_request() -> Any:
    """Return the next request, or None at the end."""
    header = read_bytes(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    return json.loads(read_bytes(LENGTH.unpack(header)[0]))


def read_bytes(count: int) -> bytes:
    chunks = []
    while count and (chunk := os.read(0, count)):
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def write_frame(answer: dict[str, Any]) -> None:
    """Write an answer. Its ``parts`` follow the JSON text, which has their lengths in bytes."""
    parts = {name: text.encode(errors="surrogatepass") for name, text in answer.get("parts", {}).items()}
    header = json.dumps({**answer, "parts": {name: len(part) for name, part in parts.items()}}).encode()
    body = b"".join((header, *parts.values()))
    data = LENGTHS.pack(len(body), len(header)) + body
    while data:
        data = data[os.write(1, data) :]


def build_handler() -> Handler:
    """Return the function that renders the messages of a request.

    A request has ``templates``, the variants of templates by key, which are kept, and ``jobs``: for each message the
    key of its template, the variables, and the places of those that ``build_values()`` builds. Without variables, the
    template is only compiled. The answer for a message has either ``parts`` or ``fault``, and the CPU ``seconds`` that
    it took.
    """
    environments = build_environments()
    sources: dict[str, dict[str, str]] = {}
    compiled: dict[tuple[str, str], Any] = {}

    def handle(request: Any) -> Iterator[Any]:
        sources.update(request["templates"])
        for key, variables, paths in request["jobs"]:
            # The clock of the process is coarse while its CPU time is limited.
            began = time.thread_time()
            answer = render_message(key, variables and build_values(variables, paths))
            yield {**answer, "seconds": time.thread_time() - began}

    def render_message(key: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        parts = {}
        for part, source in sources[key].items():
            template = None
            try:
                template = compiled.get((key, part))
                if template is None:
                    template = compiled[key, part] = environments[part == HTML].from_string(source)
                if variables is not None:
                    parts[part] = render_part(template, variables)
            except Exception as error:  # noqa: BLE001 - the parent reports it
                return {"fault": describe(error, part, template)}
        return {"parts": parts}

    return handle


def build_environments() -> dict[bool, Any]:
    """Return the Jinja2 environments for HTML, by True, and for plain text, by False."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def reraise(source: str | None = None) -> None:
        # Jinja2 would rewrite the traceback, for which it creates code objects.
        raise  # noqa: PLE0704 - Jinja2 calls it in an except block

    environments = {}
    for is_html in (True, False):
        environment = ImmutableSandboxedEnvironment(
            autoescape=is_html, undefined=StrictUndefined, finalize=hide_none, cache_size=0
        )
        environment.handle_exception = reraise  # type: ignore[method-assign, assignment]
        # A generator of filler text only costs time.
        environment.globals.pop("lipsum", None)
        environments[is_html] = environment
    return environments


def hide_none(value: Any) -> Any:
    """Let a value that is not known show nothing. Undefined names still raise an error."""
    return "" if value is None else value


def render_part(template: Any, variables: dict[str, Any]) -> str:
    """Render a template.

    :raises OverflowError: if the text is too long.
    """
    text = "".join(template.root_render_func(template.new_context(variables)))
    if len(text) > MAX_OUTPUT_CHARACTERS:
        raise OverflowError(f"It has more than {MAX_OUTPUT_CHARACTERS} characters.")
    return text


def describe(error: BaseException, part: str, template: Any) -> dict[str, Any]:
    """Return a fault as the parent reads it: its kind, the part, the line of the template and a message."""
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        gc.collect()
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the exception may hold any object
        text = ""
    return {"kind": kind, "part": part, "line": find_line(error, template), "message": text[:ERROR_LENGTH]}


def find_line(error: BaseException, template: Any) -> int:
    """Return the line of the template in which an error was raised; 0 if it is unknown."""
    if template is None:
        return int(getattr(error, "lineno", 0) or 0)
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") != __name__ and trace.tb_frame.f_code.co_filename == "<template>":
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return int(line)
