"""Variables that a template uses but does not get. Django renders a misspelt name as an empty string, without an error.

They are read from the compiled template, which is not rendered. Templates that it extends or includes are not read: a
layout that several events share may use variables that only some of them have.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.template import Node, NodeList, Template
from django.template.base import FilterExpression, TextNode, Token, TokenType, Variable
from django.template.loader_tags import BlockNode
from django.template.smartif import TokenBase

DJANGO_VARIABLES = {"True", "False", "None", "forloop", "block", "var", "csrf_token"}
"""``var`` is the content of ``{% filter %}``."""
VARIABLE_NAME = re.compile(r"^\s*([^\W\d]\w*)(?=[.|\s]|$)")
SKIPPED_ATTRIBUTES = {"token", "origin"}


def find_undeclared_variables(template: Template, declared: Iterable[str]) -> list[str]:
    """Return the names of the variables that a template uses but that neither its context nor its tags set."""
    used: set[str] = set()
    # Tags keep the names of variables that they set ("as total", "for item in …") as plain strings.
    strings: set[str] = set()
    for found in walk_variables(template.nodelist):
        if isinstance(found, Variable):
            used.update(found.lookups[:1] if found.lookups else ())
        elif isinstance(found, Token):
            used.update(VARIABLE_NAME.findall(found.contents)[:1])
        else:
            strings.add(found)
    return sorted(used - strings - DJANGO_VARIABLES - set(declared))


def walk_variables(node: Any) -> Iterator[Variable | Token | str]:
    """Yield variables, tokens of variables in ``{% blocktranslate %}``, and strings that tags keep."""
    if isinstance(node, Variable | str):
        yield node
    elif isinstance(node, Token):
        if node.token_type is TokenType.VAR:
            yield node
    else:
        for part in _parts(node):
            yield from walk_variables(part)


def _parts(node: Any) -> Collection[Any]:
    if isinstance(node, FilterExpression):
        arguments = [argument for _function, values in node.filters for _is_variable, argument in values]
        # A string here is a literal.
        return [part for part in (node.var, *arguments) if isinstance(part, Variable)]
    if isinstance(node, TokenBase):
        # An operator of {% if %}, or an operand.
        return [getattr(node, name, None) for name in ("first", "second", "value")]
    if isinstance(node, NodeList | list | tuple):
        return node
    if isinstance(node, Mapping):
        return [*node, *node.values()]
    if isinstance(node, BlockNode):
        return [node.nodelist]
    if isinstance(node, Node) and not isinstance(node, TextNode):
        return [value for name, value in vars(node).items() if name not in SKIPPED_ATTRIBUTES]
    return ()
