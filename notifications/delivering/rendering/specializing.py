"""HTML templates specialised for a theme, a priority and a language.

Most of a layout depends on nothing else. It is rendered once for all emails that have these in common, so the layout
costs little more than the content.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import lru_cache
from typing import Any

from django.template import Context, Node, NodeList, Template
from django.template.base import TextNode, Variable, VariableNode
from django.template.defaulttags import IfNode
from django.templatetags.i18n import TranslateNode

from notifications.delivering.rendering.flattening import ScopeNode
from notifications.delivering.rendering.frame import FRAME_VARIABLES, Frame
from notifications.delivering.rendering.undeclared_variables import walk_variables

MAX_TEMPLATES = 256


@lru_cache(maxsize=MAX_TEMPLATES)
def specialize(template: Template, frame: Frame, autoescape: bool) -> Template:
    """Return an equal template in which everything that depends only on the frame is text. Its language must be active.

    Such is ``{{ layout.theme.color }}``, but not a variable of the notification or a tag of the host.
    """
    context = Context({"layout": frame}, autoescape=autoescape)
    specialized = copy(template)
    with context.render_context.push_state(template), context.bind_template(template):
        specialized.nodelist = _merge_texts(_evaluate(template.nodelist, context))
    return specialized


def _evaluate(nodes: Sequence[Node], context: Context) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, ScopeNode):
            yield ScopeNode(_merge_texts(_evaluate(node.nodelist, context)))
        elif isinstance(node, IfNode):
            yield from _evaluate_if(node, context)
        elif _is_constant_node(node):
            yield TextNode(str(node.render_annotated(context)))
        else:
            yield node


def _evaluate_if(node: IfNode, context: Context) -> Iterator[Node]:
    """Yield the branch that is chosen, or the node with the branches that can be."""
    remaining: list[tuple[Any, NodeList]] = []
    branches: Sequence[tuple[Any, NodeList]] = node.conditions_nodelists
    for condition, nodelist in branches:
        is_known = condition is None or _is_constant(condition)
        if is_known and condition is not None and not condition.eval(context):
            continue
        branch = _merge_texts(_evaluate(nodelist, context))
        if is_known and not remaining:
            yield from branch
            return
        remaining.append((None if is_known else condition, branch))
        if is_known:
            break
    if remaining:
        reduced = copy(node)
        reduced.conditions_nodelists = remaining
        yield reduced


def _is_constant_node(node: Node) -> bool:
    if isinstance(node, TranslateNode):
        return node.asvar is None and _is_constant([node.filter_expression, node.message_context])
    return isinstance(node, VariableNode) and _is_constant(node.filter_expression)


def _is_constant(expression: Any) -> bool:
    return all(isinstance(found, Variable) and _is_known(found) for found in walk_variables(expression))


def _is_known(variable: Variable) -> bool:
    lookups: Sequence[str] = variable.lookups or ()
    return not lookups or (lookups[0] == "layout" and len(lookups) > 1 and lookups[1] in FRAME_VARIABLES)


def _merge_texts(nodes: Iterator[Node]) -> NodeList:
    merged: NodeList = NodeList()
    for node in nodes:
        if isinstance(node, TextNode) and merged and isinstance(merged[-1], TextNode):
            merged[-1] = TextNode(merged[-1].s + node.s)
        else:
            merged.append(node)
    return merged
