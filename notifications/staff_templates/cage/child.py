"""The program that renders messages in the cage. It reads requests from descriptor 0, writes answers to descriptor 1.

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
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import notifications
from notifications.staff_templates.cage.budget import MAX_OUTPUT_CHARACTERS, MEMORY_BYTES
from notifications.staff_templates.cage.child_values import build_values
from notifications.staff_templates.cage.lockdown import lock_down

LENGTH, LENGTHS = struct.Struct(">I"), struct.Struct(">II")
Handler = Callable[[Any], Iterator[Any]]
HTML, TEXT = "html", "txt"
ERROR_LENGTH = 300
OUT_OF_MEMORY = f"It needs more than {MEMORY_BYTES // 1024**2} MB of memory."
RENDERING_FOLDER = Path(str(notifications.__file__)).parent / "delivering" / "rendering"
# What Python and Jinja2 import only when they need it, which is impossible after the lockdown.
LATE_IMPORTS = ("_strptime", "html", "pprint", "textwrap")
LATE_CODECS = ("ascii", "latin-1", "raw_unicode_escape", "unicode_escape", "utf-8")


def main() -> None:
    serve(build_handler())


def serve(handle: Handler) -> None:
    """Lock this process down and answer requests until the parent closes the pipe.

    :param handle: yields an answer for each job of a request. The CPU ``seconds`` that it took are added.
    """
    for module in LATE_IMPORTS:
        import_module(module)
    for encoding in LATE_CODECS:
        codecs.lookup(encoding)
    json.loads(json.dumps({"é": [1.5, None]}))
    layers = lock_down()
    # The clock of the process is coarse while its CPU time is limited.
    write_frame({"layers": layers, "seconds": time.thread_time()})
    while (request := read_request()) is not None:
        began = time.thread_time()
        for answer in handle(request):
            now = time.thread_time()
            write_frame({**answer, "seconds": now - began})
            began = now


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

    A request has ``templates`` by key, which are kept, and ``jobs``: for each message the key of its template, the
    variables, and the other arguments of ``build_values()``. Without variables, the template is only compiled.
    A template has ``parts``, its variants, and ``derives_text``, which says that its text may come from its HTML. The
    answer for a message has either ``parts`` or ``fault``, and the CPU seconds that were used to compile.
    """
    renderer = Renderer()

    def handle(request: Any) -> Iterator[Any]:
        for key, template in request["templates"].items():
            renderer.add(key, **template)
        for key, variables, *places in request["jobs"]:
            yield renderer.render(key, variables and build_values(variables, *places))

    return handle


class Renderer:
    """Compiles templates, keeps them, and renders messages."""

    def __init__(self) -> None:
        self.environments = build_environments()
        self.convert = load_text_converter()
        self.sources: dict[str, dict[str, str]] = {}
        self.compiled: dict[tuple[str, str], Any] = {}
        self.deriving: set[str] = set()
        self.compile_seconds = 0.0

    def add(self, key: str, parts: dict[str, str], derives_text: bool) -> None:
        self.sources[key] = parts
        if derives_text and self.convert is not None and HTML in parts and TEXT not in parts:
            self.deriving.add(key)

    def render(self, key: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        """Return the answer for a message. If the variables are None, its parts are empty."""
        self.compile_seconds = 0.0
        parts: dict[str, str] = {}
        answer: dict[str, Any] = {"parts": parts}
        part, template = "", None
        try:
            for part in self.sources[key]:
                template = None
                template = self.compile(key, part)
                if variables is not None:
                    parts[part] = render_part(template, variables)
            template, part = None, HTML
            self.complete(key, parts)
        except Exception as error:  # noqa: BLE001 - the parent reports it
            answer = {"fault": describe(error, part, template)}
        return {**answer, "compile_seconds": self.compile_seconds}

    def compile(self, key: str, part: str) -> Any:
        template = self.compiled.get((key, part))
        if template is None:
            began = time.thread_time()
            try:
                template = self.environments[part == HTML].from_string(self.sources[key][part])
            finally:
                self.compile_seconds += time.thread_time() - began
            self.compiled[key, part] = template
        return template

    def complete(self, key: str, parts: dict[str, str]) -> None:
        """Derive the text from the HTML, and do here what takes long with hostile HTML, where CPU time is limited."""
        if HTML not in parts:
            return
        check_markup(parts[HTML])
        if key in self.deriving and self.convert is not None:
            parts[TEXT] = limit_length(self.convert(parts[HTML]))


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


def load_text_converter() -> Callable[[str], str] | None:
    """Return the function that converts HTML to text, after it was used once; None if inscriptis is not installed."""
    convert: Callable[[str], str] = load_module("plain_text").extract_text
    try:
        convert("<ul><li><a href='#'>x</a></ul><table><tr><td>x</table>")
    except ModuleNotFoundError:
        return None
    return convert


def load_module(name: str) -> ModuleType:
    """Load a module of ``notifications.delivering.rendering`` from its file, because the package needs Django."""
    spec = spec_from_file_location(f"klaxon_{name}", RENDERING_FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{RENDERING_FOLDER / name}.py cannot be loaded.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hide_none(value: Any) -> Any:
    """Let a value that is not known show nothing. Undefined names still raise an error."""
    return "" if value is None else value


def render_part(template: Any, variables: dict[str, Any]) -> str:
    """Render a template.

    :raises OverflowError: if the text is too long.
    """
    return limit_length("".join(template.root_render_func(template.new_context(variables))))


def limit_length(text: str) -> str:
    if len(text) > MAX_OUTPUT_CHARACTERS:
        raise OverflowError(f"It has more than {MAX_OUTPUT_CHARACTERS} characters.")
    return text


def check_markup(html: str) -> None:
    """Parse HTML for which Python's parser needs quadratic time, because the worker parses it to find its links.

    That is markup whose end is missing. Here it stops the process.
    """
    if "<![" in html or html.rfind("<!--") > html.rfind("-->") or html.rfind("<") > html.rfind(">"):
        parser = HTMLParser(convert_charrefs=False)
        parser.feed(html)
        parser.close()


def describe(error: BaseException, part: str, template: Any) -> dict[str, Any]:
    """Return a fault as the parent reads it: its kind, the part, the line of the template and a message."""
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        gc.collect()
    try:
        # Jinja2 adds the line of a syntax error to its text, but not to its message.
        text = OUT_OF_MEMORY if isinstance(error, MemoryError) else str(getattr(error, "message", None) or error)
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
