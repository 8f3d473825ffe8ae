"""Variables that a template names and nobody gives it: a misspelt name renders as nothing, and nobody is told.

Read from the compiled template, without rendering it. What it extends or includes is not looked at: a layout that
several events share may name what only some of them have.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.template import Node, NodeList, Template
from django.template.base import FilterExpression, TextNode, Token, TokenType, Variable
from django.template.loader_tags import BlockNode
from django.template.smartif import TokenBase

GIVEN_BY_DJANGO = {"True", "False", "None", "forloop", "block", "var", "csrf_token"}
"""``var`` is what ``{% filter %}`` calls its content."""
ROOT = re.compile(r"^\s*([^\W\d]\w*)(?=[.|\s]|$)")
NOT_LOOKED_AT = {"token", "origin"}


def undeclared(template: Template, given: Iterable[str]) -> list[str]:
    """The names of variables that a template uses, and that are neither given to it nor set by its own tags."""
    used: set[str] = set()
    # Tags keep the names of variables that they set ("as total", "for item in …") as plain texts.
    texts: set[str] = set()
    for found in _walk(template.nodelist):
        if isinstance(found, Variable):
            used.update(found.lookups[:1] if found.lookups else ())
        elif isinstance(found, Token):
            used.update(ROOT.findall(found.contents)[:1])
        else:
            texts.add(found)
    return sorted(used - texts - GIVEN_BY_DJANGO - set(given))


def _walk(thing: Any) -> Iterator[Variable | Token | str]:
    """All variables, variables inside ``{% blocktranslate %}``, and texts that tags keep."""
    if isinstance(thing, Variable | str):
        yield thing
    elif isinstance(thing, Token):
        if thing.token_type is TokenType.VAR:
            yield thing
    else:
        for part in _parts(thing):
            yield from _walk(part)


def _parts(thing: Any) -> Collection[Any]:
    if isinstance(thing, FilterExpression):
        arguments = [argument for _function, given in thing.filters for _is_variable, argument in given]
        # A text among these is a literal.
        return [part for part in (thing.var, *arguments) if isinstance(part, Variable)]
    if isinstance(thing, TokenBase):
        # An operator of {% if %}, or an operand.
        return [getattr(thing, name, None) for name in ("first", "second", "value")]
    if isinstance(thing, NodeList | list | tuple):
        return thing
    if isinstance(thing, Mapping):
        return [*thing, *thing.values()]
    if isinstance(thing, BlockNode):
        return [thing.nodelist]
    if isinstance(thing, Node) and not isinstance(thing, TextNode):
        return [value for name, value in vars(thing).items() if name not in NOT_LOOKED_AT]
    return ()
