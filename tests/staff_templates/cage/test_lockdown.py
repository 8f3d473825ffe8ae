"""What code can do that has escaped from the sandbox: it runs in a real child process, locked down as for templates."""

import json
import os
import sys
from pathlib import Path

import pytest

from notifications.staff_templates.cage.faults import Culprit, ProcessLost, TemplateFault
from notifications.staff_templates.cage.lockdown import ALLOWED_CALLS, MACHINES, build_filter
from notifications.staff_templates.cage.pool import Source, read_result
from notifications.staff_templates.cage.process import CageProcess

ROOT = str(Path(__file__).parents[3])
PROGRAM = f"sys.path.append({ROOT!r}); from tests.staff_templates.cage.escape import main; main()"
WITHOUT_AUDIT_HOOK = f"""
sys.path.append({ROOT!r})
sys.addaudithook = print
from tests.staff_templates.cage.escape import main
main()
"""

pytestmark = [pytest.mark.needs("jinja2"), pytest.mark.skipif(sys.platform != "linux", reason="seccomp is of Linux")]


@pytest.fixture(scope="module", params=["all layers", "kernel only"])
def child(request):
    """A locked-down process, and one without the audit hook: there, only the kernel refuses."""
    process = CageProcess(PROGRAM if request.param == "all layers" else WITHOUT_AUDIT_HOOK)
    yield process
    process.kill()


def run(process, code):
    [answer] = process.ask({"jobs": [code]}, 1)
    assert answer["parts"] == {}
    return {name: answer[name] for name in ("result", "refused") if name in answer}


def test_all_layers_are_in_force(child):
    assert child.layers == ["rlimits", "seccomp", "audit hook"]


def test_it_computes(child):
    assert run(child, "result = 6 * 7") == {"result": "42"}


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd')",
        "open('/tmp/klaxon-escape', 'w')",
        "import os; os.open('/dev/null', os.O_RDONLY)",
        "import os; os.listdir('/')",
        "import os; os.unlink('/tmp/klaxon-escape')",
        "import os; os.stat('/etc/passwd')",
        "import io; io.FileIO('/etc/passwd')",
    ],
)
def test_no_file_is_opened_read_or_deleted(child, code):
    assert "Error" in run(child, code)["refused"]


@pytest.mark.parametrize(
    "code",
    [
        "import _socket; _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)",
        "import _socket; _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)",
        "import os; os.pipe()",
    ],
)
def test_no_socket_or_pipe_is_made(child, code):
    assert "Error" in run(child, code)["refused"]


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.fork()",
        "import os; os.system('true') and (_ for _ in ()).throw(OSError('refused'))",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import subprocess; subprocess.Popen(['/bin/true'])",
        "import threading; threading.Thread(target=print).start()",
    ],
)
def test_no_process_or_thread_starts(child, code):
    assert "Error" in run(child, code)["refused"]


def test_no_other_process_is_signalled(child):
    assert "Error" in run(child, f"import os; os.kill({os.getpid()}, 0)")["refused"]


def test_there_is_no_environment(monkeypatch):
    monkeypatch.setenv("KLAXON_SECRET", "only-for-tests")
    process = CageProcess(PROGRAM)
    try:
        assert run(process, "import os; result = dict(os.environ)") == {"result": "{}"}
        assert "Error" in run(process, "open('/proc/self/environ')")["refused"]
    finally:
        process.kill()


def test_a_descriptor_of_the_parent_is_closed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("only-for-tests")
    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        process = CageProcess(PROGRAM)
        try:
            for descriptor in {2, 3, 4, 5, file.fileno()}:
                answer = run(process, f"import os; result = os.read({descriptor}, 10)")
                assert answer == {"refused": "OSError: [Errno 9] Bad file descriptor"}
        finally:
            process.kill()


def test_limits_cannot_be_raised(child):
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))"
    assert "Error" in run(child, f"import sys; {code}")["refused"]


def test_memory_is_limited(child):
    assert run(child, "x = bytearray(300 * 1024 * 1024)")["refused"].startswith("MemoryError")
    assert run(child, "result = len(bytearray(100 * 1024 * 1024))") == {"result": "104857600"}


def test_the_audit_hook_refuses_native_code_and_imports():
    process = CageProcess(PROGRAM)
    try:
        assert run(process, "import ctypes; ctypes.CDLL(None)")["refused"] == (
            "PermissionError: ctypes.dlopen is refused."
        )
        assert "Error" in run(process, "import sqlite3")["refused"]
    finally:
        process.kill()


def test_the_kernel_refuses_a_system_call_of_native_code():
    process = CageProcess(WITHOUT_AUDIT_HOOK)
    try:
        code = """
import ctypes
result = ctypes.PyDLL(None).getpid()
"""
        # 39 is getpid() on x86-64; a refused call returns -1.
        assert run(process, code) == {"result": "-1"}
    finally:
        process.kill()


DRIP = """
import os, time
os.write(1, (900).to_bytes(4, "big") + (100).to_bytes(4, "big"))
while True:
    until = time.monotonic() + 0.01
    while time.monotonic() < until:
        pass
    os.write(1, b" ")
"""


def write_frame(answer):
    """Return code that writes an answer of its own."""
    text = json.dumps(answer).encode()
    size = len(text).to_bytes(4, "big")
    return f"import os; os.write(1, {size + size + text!r})"


def test_a_process_that_sleeps_drips_floods_or_lies_is_killed(monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.WALL_SECONDS", 0.5)
    monkeypatch.setattr("notifications.staff_templates.cage.process.MAX_FRAME_BYTES", 1000)
    for code, message, culprit in [
        ("import os; os.read(0, 1)", "It took too long", Culprit.MESSAGE),
        (DRIP, "It took too long", None),
        ("import os; os.write(1, b'\\xff' * 8)", "Its answer is too large", Culprit.MESSAGE),
        ("import os; os.write(1, b'\\0\\0\\0\\x01\\0\\0\\0\\x01x')", "Its answer cannot be read", Culprit.UNKNOWN),
        (write_frame({"parts": {}, "seconds": 1e9}), "Its answer cannot be read", Culprit.UNKNOWN),
        (write_frame({"parts": {}, "seconds": -1}), "Its answer cannot be read", Culprit.UNKNOWN),
        (write_frame({"parts": {"html": "1"}}), "Its answer cannot be read", Culprit.UNKNOWN),
        (write_frame({"parts": []}), "Its answer cannot be read", Culprit.UNKNOWN),
        ("import os; os._exit(3)", "It ended with status 3", Culprit.UNKNOWN),
    ]:
        process = CageProcess(PROGRAM)
        with pytest.raises(ProcessLost, match=message) as caught:
            run(process, code)
        assert culprit in (None, caught.value.culprit)
        assert process._popen.returncode is not None


def test_a_process_cannot_gain_time_by_saying_that_it_has_used_more(monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.CPU_SECONDS", 0.3)
    monkeypatch.setattr("notifications.staff_templates.cage.process.GROUP_CPU_SECONDS", 1000)
    process = CageProcess(PROGRAM)
    jobs = [write_frame({"parts": {}, "seconds": 50}), "while True: pass"]
    began = os.times()
    with pytest.raises(ProcessLost, match="It took too long"):
        list(process.ask({"jobs": jobs}, 3))
    ended = os.times()
    assert ended.children_user - began.children_user < 2


@pytest.mark.parametrize("fault", ["a text", 7, ["list"], {"kind": {}, "line": "x"}, {"line": -1}, {"line": True}, {}])
def test_a_fault_in_another_form_is_read_anyway(fault):
    answer = {"fault": fault, "parts": {}, "seconds": 0.0, "compile_seconds": 0.0}
    result = read_result(answer, Source("", {"txt": "x"}))
    assert isinstance(result, TemplateFault)


def test_a_part_that_the_template_does_not_have_is_left_out():
    answer = {"parts": {"txt": "x", "html": "<p>"}, "seconds": 0.0, "compile_seconds": 0.0}
    assert read_result(answer, Source("", {"txt": "x"})).parts == {"txt": "x"}


def test_a_filter_refuses_every_call_that_it_does_not_name():
    for column, (machine, architecture) in enumerate(MACHINES.items()):
        calls = {numbers[column] for numbers in ALLOWED_CALLS.values()}
        program = build_filter(machine)
        for number in range(500):
            expected = 0x7FFF0000 if number in calls else 0x00050001
            assert evaluate(program, architecture, number) == expected
        assert evaluate(program, architecture + 1, 0) == 0x80000000


def evaluate(program, machine, number):
    """Run a BPF program as the kernel does, and return its action."""
    place, loaded = 0, 0
    while True:
        code, if_true, if_false, value = program[place]
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = {0: number, 4: machine}[value]
            place += 1
        else:
            place += 1 + (if_true if loaded == value else if_false)
