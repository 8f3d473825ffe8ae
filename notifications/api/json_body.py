"""Reads JSON strictly: what two parsers could understand differently, or the database cannot store, is refused."""

import json
import math
from typing import Any

from django.http import HttpRequest

from notifications.api.problems import Problem
from notifications.context import UNSTORABLE

MAX_DEPTH = 32
# More digits than any column can store. Reading very long numbers takes quadratic time.
MAX_DIGITS = 300


def read_json(request: HttpRequest) -> Any:
    """Return the value of a JSON body (RFC 8259).

    :raises Problem: if its type is another one; if it is not UTF-8 or not JSON; if an object has a key twice; if it is
        nested more than :data:`MAX_DEPTH` deep; if a number is too long or not finite; or if a text has a NUL or half
        of a surrogate pair.
    """
    if request.content_type != "application/json":
        raise Problem("unsupported-media-type", "Send the header Content-Type: application/json.")
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("malformed", "The body is not UTF-8.") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_build_object,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
            parse_float=_read_number,
        )
    except (ValueError, RecursionError) as error:
        # The message of ValueError quotes nothing of the body but positions.
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Problem("malformed", f"The body is not valid JSON: {reason}.") from error
    check_value(value)
    return value


def check_value(value: Any) -> None:
    """Check the depth of a value, and its texts.

    :raises Problem: if it is nested too deep, or a text cannot be stored.
    """
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise Problem("malformed", f"The body is nested more than {MAX_DEPTH} deep.")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                check_text(one)
            elif isinstance(one, dict):
                inner += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                inner += one
        level, depth = inner, depth + 1


def check_text(text: str, where: str = "A text of the body") -> None:
    """Check that a text can be stored.

    :raises Problem: if it contains a NUL or half of a surrogate pair.
    """
    if UNSTORABLE.search(text):
        raise Problem("invalid", f"{where} contains a NUL character or half of a surrogate pair.")


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _read_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _read_number(text: str) -> float:
    number = float(text) if len(text) <= MAX_DIGITS else math.inf
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number
