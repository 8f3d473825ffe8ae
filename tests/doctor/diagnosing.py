"""Run ``notifications_doctor`` and read its JSON."""

import io
import json

from django.core.management import call_command


def run(*args):
    """Return the exit code and the output of the command."""
    out, code = io.StringIO(), 0
    try:
        call_command("notifications_doctor", *args, stdout=out, no_color=True)
    except SystemExit as end:
        code = end.code
    return code, out.getvalue()


def diagnose(*names, options=()):
    """Return the exit code and the results of these examinations."""
    only = [text for name in names for text in ("--only", name)]
    code, output = run("--json", *only, *options)
    return code, json.loads(output)["results"]


def list_faults(*names, options=()):
    """Return the results that are not well."""
    return [result for result in diagnose(*names, options=options)[1] if result["status"] != "ok"]


def find_faults(*names, options=()):
    """Return the results that are not well, by name."""
    return {result["name"]: result for result in list_faults(*names, options=options)}
