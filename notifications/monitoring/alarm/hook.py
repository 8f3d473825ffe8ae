"""The hook of alarms: a POST request or a command. It needs no database, and none of the channels."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from notifications import conf
from notifications.channels.http_client import HTTPClient, HTTPFailure, HTTPRequest
from notifications.exceptions import KlaxonError, MissingExtra

MAX_ANSWER_BYTES = 4096
JSON = {"Content-Type": "application/json"}


class HookFailed(KlaxonError):
    """The hook has not taken an alarm. The text contains neither its URL nor its arguments."""


def call_hook(payload: Mapping[str, Any]) -> None:
    """Give the payload to the hook of the settings, if there is one, and wait for the end of the call.

    A URL gets it as the body of a POST request, and a command on its standard input, both as JSON.

    :raises HookFailed: if the answer is no success, the command ends with another status than 0, or the call takes
        longer than ``HOOK_TIMEOUT`` in all.
    """
    hook = conf.current().get_alarm_option("HOOK")
    body = json.dumps(payload, ensure_ascii=False).encode()
    if isinstance(hook, str):
        if hook:
            request_url(HTTPRequest(hook, body, JSON))
    elif hook:
        _run(hook, body)


def request_url(request: HTTPRequest) -> None:
    """Make a request, and wait for the end of the answer.

    :raises HookFailed: if the answer is no success, or there is none.
    """
    try:
        client = HTTPClient(conf.current().get_alarm_option("HOOK_TIMEOUT"), MAX_ANSWER_BYTES)
    except MissingExtra as error:
        raise HookFailed(str(error)) from error
    try:
        answer = client.send(request)
    except HTTPFailure as error:
        raise HookFailed(str(error)) from None
    finally:
        client.close()
    if not answer.is_success:
        raise HookFailed(f"The answer was {answer.status} {answer.reason}.")


def _run(command: Sequence[str], body: bytes) -> None:
    name = command[0]
    try:
        process = subprocess.Popen(  # noqa: S603 - the command is that of the settings
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise HookFailed(f"The command {name} could not be started: {error.strerror}.") from None
    with process:
        try:
            process.communicate(body, conf.current().get_alarm_option("HOOK_TIMEOUT"))
        except subprocess.TimeoutExpired:
            raise HookFailed(f"The command {name} has not ended in time.") from None
        finally:
            _kill(process)
    if process.returncode:
        raise HookFailed(f"The command {name} has ended with status {process.returncode}.")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that has not ended, and what it has started. Otherwise, each new try would leave more of them."""
    if process.returncode is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
