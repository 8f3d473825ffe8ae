"""Lazy translations as data: a function and its arguments, from which the text is made in the reader's language.

Django's proxies give both when they are pickled. Only the functions of :data:`FUNCTIONS` can be stored, so that a
stored context cannot call any other function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import (
    gettext,
    gettext_lazy,
    ngettext,
    ngettext_lazy,
    npgettext,
    npgettext_lazy,
    pgettext,
    pgettext_lazy,
)

FORMAT = "format_lazy"
# By the stored name: the function that a proxy calls, and the function that creates the proxy.
FUNCTIONS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "gettext": (gettext, gettext_lazy),
    "pgettext": (pgettext, pgettext_lazy),
    "ngettext": (ngettext, ngettext_lazy),
    "npgettext": (npgettext, npgettext_lazy),
    FORMAT: (format_lazy.__wrapped__, format_lazy),  # type: ignore[attr-defined]
}


@dataclass(frozen=True)
class TranslationCall:
    """A function of :data:`FUNCTIONS` and its arguments."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def get_translation_call(text: Promise) -> TranslationCall:
    """Return the call that a lazy text makes.

    :raises ValueError: if the text cannot be stored. The message says why.
    """
    function, args, kwargs = _get_reduced_parts(text)
    name = next((name for name, (known, _lazy) in FUNCTIONS.items() if known is function), None)
    if name is None:
        raise ValueError(f"it is a lazy value of {getattr(function, '__name__', 'an unknown function')}()")
    bound = signature(function).bind(*args, **kwargs)
    call = TranslationCall(name, bound.args, bound.kwargs)
    if not _has_valid_arguments(call):
        raise ValueError(f"{name} has arguments other than texts and, for a plural, an integer")
    return call


def _get_reduced_parts(text: Promise) -> tuple[Any, tuple[Any, ...], Mapping[str, Any]]:
    state = text.__reduce__()
    match state:
        case (_, (function, tuple() as args, dict() as kwargs, *_)):
            return function, args, kwargs
        case (_, (_, type(), _, dict())):
            raise ValueError("it is a plural without a number")
    raise ValueError("it is not a lazy text of Django")


def _has_valid_arguments(call: TranslationCall) -> bool:
    if call.name == FORMAT:
        return isinstance(call.args[0], str | Promise)
    texts, number = (call.args[:-1], call.args[-1]) if call.name.startswith("n") else (call.args, 0)
    return type(number) is int and all(type(text) is str for text in texts)


def make_lazy_text(call: TranslationCall) -> Promise:
    """Return the lazy text that makes a call.

    :raises ValueError, TypeError: if there is no such function, or it does not accept these arguments.
    """
    if call.name not in FUNCTIONS:
        raise ValueError(f"{call.name!a:.80} is not one of {', '.join(FUNCTIONS)}")
    function, lazy = FUNCTIONS[call.name]
    signature(function).bind(*call.args, **call.kwargs)
    if not _has_valid_arguments(call):
        raise ValueError(f"{call.name} takes texts and, for a plural, an integer")
    text: Promise = lazy(*call.args, **call.kwargs)
    return text


def has_lazy_text(value: Any) -> bool:
    """Return whether nested lists and mappings contain a lazy text."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return isinstance(value, Promise)
    # Most values are texts, and it is called for every message.
    return any(type(item) is not str and has_lazy_text(item) for item in value)


def resolve_lazy_texts(value: Any) -> Any:
    """Return nested lists and mappings with each lazy text replaced by its text in the active language."""
    if isinstance(value, dict):
        return {key: resolve_lazy_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve_lazy_texts(item) for item in value]
    return str(value) if isinstance(value, Promise) else value
