"""The cage renders groups of messages, and survives every template."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest

from notifications.exceptions import RenderingUnavailable
from notifications.staff_templates.cage import pool
from notifications.staff_templates.cage.budget import MEMORY_BYTES
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.cage.pool import Cage, Job, RenderedJob, Source
from notifications.staff_templates.cage.process import build_command

pytestmark = pytest.mark.needs("jinja2")

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def cage():
    made = Cage()
    yield made
    made.close()


def make_job(text, part="html", built=None, **variables):
    """
    :param built: the variable ``x`` as a value that the child builds.
    """
    source = Source(f"{part}:{text[:100]}:{len(text)}", {part: text})
    return Job(source, variables) if built is None else Job(source, {"x": built}, [["x"]])


def render(cage, text, part="html", built=None, **variables):
    [result] = cage.render([make_job(text, part, built, **variables)])
    return result if isinstance(result, TemplateFault) else result.parts[part]


def test_html_is_escaped_and_text_is_not(cage):
    assert render(cage, "{{ name }}", name="<b>") == "&lt;b&gt;"
    assert render(cage, "{{ name }}", part="txt", name="<b>") == "<b>"


def test_values_keep_their_types_and_show_themselves_as_the_parent_formatted_them(cage):
    eta = ("date", "2026-12-15", {"text": "15. Dezember 2026", "short": "15.12.2026"})
    assert render(cage, "{{ x }} {{ x.short }} {{ x.year + 1 }}", built=eta) == "15. Dezember 2026 15.12.2026 2027"
    price = ("decimal", "1.50", {"text": "1,50"})
    assert render(cage, "{{ x }} {{ x * 2 }} {{ '%s!' | format(x) }}", built=price) == "1,50 3.00 1,50!"
    assert render(cage, "{{ x }}", built=("safe", "<b>", {})) == "<b>"
    assert render(cage, "{{ x.total_seconds() }}", built=("seconds", 90, {})) == "90.0"
    person = ("object", {"name": "Ann"}, {"text": "ann"})
    assert render(cage, "{{ x }} {{ x.name }} {{ x|length }}", built=person) == "ann Ann 1"
    assert render(cage, "{{ eta }}{{ eta or 'x' }}", eta=None) == "x"


def test_every_filter_of_jinja2_works_after_the_lockdown(cage):
    text = (
        "{{ 'a b'|wordwrap(1) }}{{ '<b>x</b>'|striptags }}{{ [3, 1]|sort|join('-') }}{{ 'a\\nb'|indent }}{{ 5|pprint }}"
        "{{ {'a': 1}|tojson }}{{ {'a': 1}|xmlattr }}{{ 'ä\\u00e9 %s'|format(1) }}{{ [1, 2]|random is number }}"
        "{{ 'http://example.com'|urlize }}{{ 3000|filesizeformat }}{{ 'x y'|urlencode }}{{ '&lt;'|striptags }}"
    )
    rendered = render(cage, text, part="txt")
    assert isinstance(rendered, str), rendered


def test_an_undefined_variable_is_a_fault_that_names_its_line(cage):
    fault = render(cage, "line 1\n{{ amount }}")
    assert (fault.kind, fault.part, fault.line) == ("UndefinedError", "html", 2)
    assert str(fault) == "html, line 2: UndefinedError: 'amount' is undefined"


def test_a_syntax_error_names_its_line(cage):
    fault = render(cage, "line 1\n\n{% if %}")
    assert (fault.kind, fault.line) == ("TemplateSyntaxError", 3)
    assert str(fault).count("line") == 1


REFUSALS = {
    "SecurityError",
    "TemplateNotFound",
    "TemplateRuntimeError",
    "TemplateSyntaxError",
    "TypeError",
    "UndefinedError",
}
ESCAPES = {
    "CVE-2024-56201, a crafted name of a template": "{% from '{print(open(1))}' import x %}",
    "CVE-2024-56326, a stored reference to format": "{{ ['{0.__class__.__init__.__globals__}']|map('format', x)|list }}"
    "{% set f = ''.format %}{{ f.__self__ }}",
    "CVE-2024-56326, format as a method of a filter": "{% set f = '{0.__class__}'.format %}{{ [x]|map(f)|list }}",
    "CVE-2025-27516, the attr filter": "{{ ('{0.__class__.__mro__}'|attr('format'))(x) }}",
    "CVE-2025-27516, attr of format_map": "{{ ('{a.__class__}'|attr('format_map'))({'a': x}) }}",
    "CVE-2019-10906, format_map": "{{ '{x.__class__}'.format_map({'x': x}) }}",
    "the class of a value": "{{ x.__class__.__mro__[1].__subclasses__() }}",
    "the class by item": "{{ x['__class__'] }}",
    "the class by attr": "{{ x|attr('__class__') }}",
    "the class by an escaped name": "{{ x|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "the globals of a function": "{{ cycler.__init__.__globals__.os }}",
    "the globals of a macro": "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "the frame of a generator": "{{ ([1]|map('upper')).gi_frame.f_builtins }}",
    "the code of a function": "{{ range.__init__.__code__ }}",
    "the environment through the context": "{{ self._TemplateReference__context.environment }}",
    "an attribute by map": "{{ [x]|map(attribute='__class__')|list }}",
    "an attribute by groupby": "{{ [x]|groupby('__class__')|list }}",
    "an attribute by sum": "{{ [x]|sum('__class__') }}",
    "a change of a list": "{{ [1].append(2) }}",
    "a change of a variable": "{{ d.update({'a': 2}) }}",
    "an include of a file": "{% include '/etc/passwd' %}",
    "an import of a file": "{% import '/etc/passwd' as x %}",
}


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_no_template_escapes(cage, text):
    result = render(cage, text, x="value", d={"a": 1})
    leaked = [word for word in ("<class", "root:", "environ", "builtins", "mro") if word in str(result)]
    if isinstance(result, TemplateFault):
        assert result.kind in REFUSALS
    else:
        assert leaked == []


BOMBS = {
    "a long text": "{{ 'x' * 10**9 }}",
    "a long list": "{{ [0] * 10**9 }}",
    "nested loops": LOOP,
    "a power": "{{ 9**(9**9) }}",
    "a shift by a format": "{{ '%1000000000d' % 1 }}",
    "a format": "{{ '{:>1000000000}'.format(1) }}",
    "join": "{{ range(99999)|join('x' * 99999) }}",
    "indent": "{{ ('x\n' * 99999)|indent(99999) }}",
    "center": "{{ 'x'|center(10**9) }}",
    "replace": "{{ ('x' * 99999)|replace('x', 'x' * 99999) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a doubled text": "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a long output": "{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
    "batch": "{{ range(99999)|batch(10**9, 'x')|list }}",
    "wordwrap": "{{ ('x ' * 9**7)|wordwrap(1) }}",
    "a constant at compile time": "{% if 'x' * 10**9 == 'y' * 10**9 %}{% endif %}",
    "deep parentheses": "{{ " + "(" * 20000 + ")" * 20000 + " }}",
    "deep operators": "{{ " + "-" * 50000 + "1 }}",
    "deep blocks": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "a long chain": "{{ 1" + " + 1" * 60000 + " }}",
    "comments without an end": "{% for i in range(32000) %}<!--{% endfor %}",
    "end tags without an end": "{% for i in range(60000) %}</{% endfor %}",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_every_bomb_is_a_fault_and_the_next_message_is_rendered(cage, text):
    result = render(cage, text)
    assert isinstance(result, TemplateFault)
    assert result.seconds < 2
    assert render(cage, "{{ name }}", name="ann") == "ann"
    assert read_peak_memory(cage) <= MEMORY_BYTES


def read_peak_memory(cage):
    """Return the largest address space that the waiting process had."""
    status = Path(f"/proc/{cage._idle[-1]._popen.pid}/status").read_text()
    return int(re.search(r"VmPeak:\s*(\d+) kB", status)[1]) * 1024


@pytest.mark.parametrize("page", ["<table><tr><td>" * 4000, "<b>" * 40_000, "<ul><li>x" * 14_000, "<p>x</p>" * 15_000])
def test_html_whose_text_takes_long_is_a_fault_or_takes_no_time_of_the_worker(cage, page):
    source = Source(page, {"html": page}, derives_text=True)
    [result] = cage.render([Job(source, {})])
    assert isinstance(result, TemplateFault) or result.parts["txt"]


def test_the_text_is_derived_from_the_html_if_there_is_none(cage):
    page = "<p>Your order <b>{{ n }}</b></p>"
    [result] = cage.render([Job(Source("derived", {"html": page}, derives_text=True), {"n": "<7>"})])
    assert result.parts == {"html": "<p>Your order <b>&lt;7&gt;</b></p>", "txt": "Your order <7>\n"}


def test_a_template_that_hangs_lets_the_messages_after_it_wait_for_their_next_turn(cage):
    texts = ["{{ n }}", LOOP, "{{ n }}", LOOP]
    rendered, stopped, *waiting = cage.render([make_job(text, n=number) for number, text in enumerate(texts)])
    assert rendered.parts == {"html": "0"}
    assert stopped.is_stopped
    assert [str(one) for one in waiting] == ["A template was stopped before its turn."] * 2


def test_messages_that_are_slow_together_let_those_after_them_wait(cage, monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.GROUP_CPU_SECONDS", 0.0)
    rendered, waiting = cage.render([make_job("{{ n }}", n=1), make_job("{{ n }}", n=2)])
    assert rendered.parts == {"html": "1"}
    assert isinstance(waiting, RenderingUnavailable)
    [alone] = cage.render([make_job("{{ n }}", n=2)])
    assert alone.parts == {"html": "2"}


def test_long_messages_fill_the_memory_of_no_worker(cage, monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.MAX_GROUP_BYTES", 1000)
    text = "{{ 'x' * 999 }}"
    assert [isinstance(result, RenderedJob) for result in cage.render([make_job(text)] * 4)] == [1, 0, 0, 0]


def test_a_template_that_hangs_costs_a_group_half_a_second_and_the_start_of_a_process():
    began = os.times()
    Cage().render([make_job(LOOP)] * 10)
    ended = os.times()
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    assert 0.5 <= spent < 2


def test_a_template_that_hangs_delays_no_other_thread(cage):
    cage.render([make_job("{{ n }}", n=0)])
    thread = threading.Thread(target=cage.render, args=[[make_job(LOOP)]])
    thread.start()
    while thread.is_alive():
        assert render(cage, "{{ n }}", n=1) == "1"
    thread.join()


def test_a_group_takes_one_round_trip(cage, monkeypatch):
    asked = []
    ask = pool.CageProcess.ask
    monkeypatch.setattr(pool.CageProcess, "ask", lambda process, *args: asked.append(args) or ask(process, *args))
    jobs = [make_job("{{ n }}", n=number) for number in range(50)]
    assert [result.parts["html"] for result in cage.render(jobs)] == [str(number) for number in range(50)]
    cage.render(jobs)
    assert len(asked) == 2
    # The process keeps a template.
    assert asked[1][0]["templates"] == {}


def test_a_process_that_the_kernel_kills_is_no_fault_of_the_template(cage):
    with cage._borrow(is_new=True), cage._borrow(is_new=True):
        pass
    for process in cage._idle:
        os.kill(process._popen.pid, 9)
    assert len(cage._idle) == 2
    assert render(cage, "{{ n }}", n=2) == "2"


def test_a_busy_machine_is_no_fault_of_the_template(monkeypatch):
    busy = Cage()
    monkeypatch.setattr("notifications.staff_templates.cage.process.WALL_SECONDS", 0.0)
    monkeypatch.setattr("notifications.staff_templates.cage.process.CHECK_INTERVAL", 0.0)
    with pytest.raises(RenderingUnavailable, match="too busy"):
        busy.render([make_job(LOOP)])


def test_a_process_that_does_not_start_is_no_fault_of_the_template(monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.find_python", lambda: "/no/such/python")
    with pytest.raises(RenderingUnavailable, match="cannot be started"):
        Cage().render([make_job("{{ n }}", n=1)])
    monkeypatch.undo()
    with pytest.raises(RenderingUnavailable, match="does not start"):
        Cage("raise SystemExit(3)").render([make_job("{{ n }}", n=1)])


@pytest.mark.parametrize(("found", "is_refused"), [("3.1.5", True), ("2.11.3", True), ("3.1.6", False), ("3.2", False)])
def test_an_old_jinja2_is_refused(monkeypatch, found, is_refused):
    monkeypatch.setattr("notifications.staff_templates.cage.process.version", lambda name: found)
    if is_refused:
        with pytest.raises(RenderingUnavailable, match="has known ways out of its sandbox"):
            build_command("")
    else:
        assert build_command("")


def test_without_jinja2_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(RenderingUnavailable, match=r"pip install 'django-klaxon\[staff-templates\]'"):
        build_command("")


def test_a_forked_process_uses_no_process_of_its_parent(cage):
    render(cage, "{{ n }}", n=1)
    before = cage._idle[-1]
    before.pid_of_parent += 1
    pipes = [os.dup(pipe.fileno()) for pipe in (before._popen.stdin, before._popen.stdout)]
    assert render(cage, "{{ n }}", n=2) == "2"
    assert before not in cage._idle
    # Only this process's copies of the pipes were closed; the child still waits for its real parent.
    os.kill(before._popen.pid, 0)
    os.kill(before._popen.pid, 9)
    os.waitpid(before._popen.pid, 0)
    for pipe in pipes:
        os.close(pipe)


def test_worn_processes_are_replaced(monkeypatch):
    made = Cage()
    monkeypatch.setattr(pool, "MAX_TEMPLATES", 1)
    render(made, "{{ n }}", n=1)
    assert made._idle == []


def test_closing_ends_the_processes():
    made = Cage()
    render(made, "{{ n }}", n=1)
    [process] = made._idle
    made.close()
    assert process._popen.returncode == -9


class FullProcess:
    """A process whose memory is full as soon as it knows two templates."""

    count = 0
    layers = pool.LAYERS

    def __init__(self, program):
        FullProcess.count += 1
        self.known, self.cpu_seconds, self.pid_of_parent = set(), 0.0, os.getpid()
        self.kept = 0

    def ask(self, request, count):
        times = {"seconds": 0.1, "compile_seconds": 0.0}
        self.kept += len(request["templates"])
        is_full = self.kept > 1 or "too big" in str(request)
        for _ in request["jobs"]:
            fault = {"kind": "MemoryError", "message": "It needs more than 256 MB of memory."}
            yield {"parts": {"txt": "x"}, **times, **({"fault": fault} if is_full else {})}

    def kill(self):
        pass


def test_templates_that_fill_the_memory_of_a_process_let_no_other_template_fail(monkeypatch):
    monkeypatch.setattr(pool, "CageProcess", FullProcess)
    FullProcess.count = 0
    made = Cage()
    for text in ("one", "two", "three"):
        assert render(made, text, part="txt") == "x"
    assert FullProcess.count == 3
    assert str(render(made, "too big", part="txt")) == "MemoryError: It needs more than 256 MB of memory."


def test_the_time_of_earlier_groups_is_not_charged_to_a_message(cage, monkeypatch):
    render(cage, "{{ n }}", n=1)
    process = cage._idle[-1]
    process.cpu_seconds -= 10  # as after many groups, whose requests and answers have taken time too
    slow = "{% for a in range(99999) %}{% for b in range(12) %}{% endfor %}{% endfor %}x"
    assert render(cage, slow) == "x"
