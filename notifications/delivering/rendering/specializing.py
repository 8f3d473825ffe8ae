"""HTML templates specialised for a theme, a priority and a language.

Most of a layout depends on nothing else. It is rendered once for all emails that have these in common, so the layout
costs little more than the content.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache
from html import escape
from typing import Any

from django.template import Context, Node, NodeList, Template
from django.template.base import TextNode, Variable, VariableNode
from django.template.defaulttags import IfNode, LoadNode
from django.templatetags.i18n import TranslateNode
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

from notifications.delivering.rendering.flattening import ScopeNode
from notifications.delivering.rendering.frame import FRAME_VARIABLES, Frame
from notifications.delivering.rendering.undeclared_variables import walk_variables

MAX_TEMPLATES = 256
LAYOUT_TEXTS = {
    *((name,) for name in ("subject", "preview", "label", "reason", "action_url", "action_label")),
    *(("footer", name) for name in ("preferences_url", "unsubscribe_url", "acknowledge_url")),
}
"""The attributes of ``Layout`` that are always text: ``("footer", "unsubscribe_url")`` for the one of the footer."""
FOOTER_VARIABLES = {"footer", "reason", "has_reason", "has_preferences_link", "has_unsubscribe_link"}
"""The variables of which a template that shows the footer uses at least one."""


class LayoutTextNode(Node):
    """A text of the layout, such as ``{{ layout.subject }}``. Django's lookup of any value takes longer."""

    def __init__(self, path: Sequence[str]) -> None:
        self.path = path

    def read(self, layout: Any) -> str:
        text = layout
        for name in self.path:
            text = text[name]
        return str(text)

    def render(self, context: Context) -> SafeString:
        text: Any = self.read(context["layout"])
        if not context.autoescape:
            return text
        # conditional_escape() does the same, but it looks for lazy arguments first.
        return SafeString(escape(text)) if type(text) is str else conditional_escape(text)


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


def render_text(template: Template, layout: Any, variables: Mapping[str, Any]) -> str:
    """Render a text template that shows little but the layout.

    :param variables: all variables of the template, among them the layout.
    """
    parts = _compile_text(template, layout.frame)
    if parts is None:
        specialized = specialize(template, layout.frame, False)
        return str(specialized.render(Context(dict(variables), autoescape=False)))
    return "".join([part if isinstance(part, str) else part.read(layout) for part in parts])


@lru_cache(maxsize=MAX_TEMPLATES)
def _compile_text(template: Template, frame: Frame) -> Sequence[str | LayoutTextNode] | None:
    """Return the content of a specialised template if it is only text. A Context would take longer than all of it."""
    parts: list[str | LayoutTextNode] = []
    for node in specialize(template, frame, False).nodelist:
        if isinstance(node, TextNode):
            parts.append(node.s)
        elif isinstance(node, LayoutTextNode):
            parts.append(node)
        elif not isinstance(node, LoadNode):
            return None
    return parts


@lru_cache(maxsize=MAX_TEMPLATES)
def has_footer(template: Template) -> bool:
    """Return whether a template shows the footer, as far as the template itself says so."""
    lookups = [found.lookups or () for found in walk_variables(template.nodelist) if isinstance(found, Variable)]
    return any(path[0] == "layout" and not FOOTER_VARIABLES.isdisjoint(path[1:2]) for path in lookups if path)


def _evaluate(nodes: Sequence[Node], context: Context) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, ScopeNode):
            yield ScopeNode(_merge_texts(_evaluate(node.nodelist, context)))
        elif isinstance(node, IfNode):
            yield from _evaluate_if(node, context)
        elif _is_constant_node(node):
            yield TextNode(str(node.render_annotated(context)))
        elif path := _find_layout_text(node):
            yield LayoutTextNode(path)
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


def _find_layout_text(node: Node) -> Sequence[str]:
    """Return the path of the text of the layout that a node shows, unless it filters it or shows something else."""
    if not isinstance(node, VariableNode) or node.filter_expression.filters:
        return ()
    lookups = getattr(node.filter_expression.var, "lookups", None) or ("",)
    return lookups[1:] if lookups[0] == "layout" and tuple(lookups[1:]) in LAYOUT_TEXTS else ()


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
