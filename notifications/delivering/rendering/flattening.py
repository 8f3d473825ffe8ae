"""HTML templates that are rendered often: flattened into one list of nodes, with their CSS inlined.

Django resolves ``{% extends %}`` and ``{% block %}`` whenever it renders a template. This module resolves them once. It
also merges neighbouring text, so that a layout with all its markup costs a few nodes.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

from django.template import Context, Engine, Node, NodeList, Template, TemplateDoesNotExist
from django.template.base import TextNode, VariableNode
from django.template.defaulttags import CommentNode, ForNode, IfNode, LoadNode
from django.template.loader_tags import BlockNode, ExtendsNode, IncludeNode
from django.templatetags.i18n import TranslateNode
from django.utils.safestring import SafeString

from notifications.core import extras
from notifications.delivering.rendering.css import MARK_END, MARK_START, MARKER, VALUE, inline_css

logger = logging.getLogger("notifications.rendering")

OPEN, NEXT, CLOSE, LEAF = "o", "n", "c", "l"
"""Kinds of markers: a node that contains nodes opens, each of its further lists, it closes; any other node."""
NODES_WITHOUT_ASSIGNMENT = (TextNode, VariableNode, IfNode, ForNode)
EMPTY_NODES = (LoadNode, CommentNode)
Blocks = dict[str, list[BlockNode]]


class CannotFlatten(Exception):
    """The template decides only when it is rendered which template it extends, or what is in a block."""


class ScopeNode(Node):
    """The content of a block. Variables that its tags set do not exist outside of it."""

    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: Context) -> SafeString:
        with context.push():
            return self.nodelist.render(context)


class IncludedNode(Node):
    """The content of a template that is included with variables of its own."""

    def __init__(self, nodelist: NodeList, node: IncludeNode) -> None:
        self.nodelist, self.values, self.is_isolated = nodelist, node.extra_context, node.isolated_context

    def render(self, context: Context) -> SafeString:
        values = {name: value.resolve(context) for name, value in self.values.items()}
        if self.is_isolated:
            return self.nodelist.render(context.new(values))
        with context.push(**values):
            return self.nodelist.render(context)


def prepare_html(template: Template) -> Template:
    """Return an equal template that is flattened, with its CSS inlined if css-inline is installed."""
    try:
        nodes = list(Flattener(template.engine).flatten(template.nodelist, {}))
    except CannotFlatten:
        return template
    prepared = copy(template)
    prepared.nodelist = _inline(nodes, template)
    return prepared


def _inline(nodes: Sequence[Node], template: Template) -> NodeList:
    known: list[Node] = []
    marked = "".join(_mark(nodes, known))
    if extras.is_installed("css_inline") and marked.count(MARK_START) == marked.count(MARK_END) == _count(marked):
        try:
            marked = inline_css(marked)
        except ValueError as error:
            logger.warning("The template %r is sent without inlined CSS. %s", template.name, error)
    return _unmark(iter(_split(marked)), known, ())


def _count(marked: str) -> int:
    return len(MARKER.findall(marked))


class Flattener:
    """Resolves ``{% extends %}``, ``{% block %}`` and ``{% include %}`` of one template."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._including: list[str] = []

    def flatten(self, nodes: Sequence[Node], blocks: Blocks, block: tuple[str, int] = ("", 0)) -> Iterator[Node]:
        """Yield the nodes without those tags.

        :param blocks: by name, the versions of each block, that of the outermost template first.
        :param block: the name and the index of the block that contains the nodes.
        """
        for node in nodes:
            if isinstance(node, ExtendsNode):
                yield from self._flatten_parent(node)
            elif isinstance(node, BlockNode):
                yield from self._flatten_block(node.name, 0, {node.name: [node], **blocks})
            elif _is_super(node):
                yield from self._flatten_block(block[0], block[1] + 1, blocks)
            elif isinstance(node, IncludeNode) and (name := self._get_included_name(node)):
                yield from self._flatten_included(name, node)
            elif not isinstance(node, EMPTY_NODES):
                yield _map_lists(node, lambda nodelist: NodeList(self.flatten(nodelist, blocks, block)))

    def _flatten_parent(self, node: ExtendsNode) -> Iterator[Node]:
        blocks: defaultdict[str, list[BlockNode]] = defaultdict(list)
        nodelist: NodeList = NodeList([node])
        history = [node.origin]
        while extends := next((item for item in nodelist if isinstance(item, ExtendsNode)), None):
            for name, block in extends.blocks.items():
                blocks[name].append(block)
            nodelist = self._load_parent(extends, history).nodelist
        own: list[Any] = nodelist.get_nodes_by_type(BlockNode)
        for found in own:
            blocks[found.name].append(found)
        yield from self.flatten(nodelist, dict(blocks))

    def _load_parent(self, node: ExtendsNode, history: list[Any]) -> Template:
        """Return the template that a template extends.

        :param history: the origins of the templates that extend it. A template can extend one of its own name, which is
            then the next one that the loaders find. The origin of the parent is added.
        """
        name = _get_literal(node.parent_name)
        if not name:
            raise CannotFlatten
        template, origin = self.engine.find_template(name, skip=history)
        history.append(origin)
        return template

    def _flatten_block(self, name: str, index: int, blocks: Blocks) -> Iterator[Node]:
        versions = blocks.get(name, ())
        if index < len(versions):
            yield from _limit_scope(list(self.flatten(versions[index].nodelist, blocks, (name, index))))

    def _get_included_name(self, node: IncludeNode) -> str:
        """Return the name of a template that is included, unless a variable names it or it includes itself."""
        name = _get_literal(node.template)
        return "" if name in self._including else name

    def _flatten_included(self, name: str, node: IncludeNode) -> Iterator[Node]:
        try:
            template = self.engine.get_template(name)
        except TemplateDoesNotExist:
            yield node  # an error only if the node is rendered
            return
        self._including.append(name)
        nodes = list(self.flatten(template.nodelist, {}))
        self._including.pop()
        if node.extra_context or node.isolated_context:
            yield IncludedNode(NodeList(nodes), node)
        else:
            yield from _limit_scope(nodes)


def _get_literal(expression: Any) -> str:
    """Return the text that an expression always has; empty if it depends on variables."""
    return str(expression.var) if isinstance(expression.var, str) and not expression.filters else ""


def _limit_scope(nodes: Sequence[Node]) -> Sequence[Node]:
    return [ScopeNode(NodeList(nodes))] if any(map(_may_assign, _walk(nodes))) else nodes


def _may_assign(node: Node) -> bool:
    """Return whether a node may set a variable that exists after it."""
    if isinstance(node, TranslateNode):
        return node.asvar is not None
    return not isinstance(node, NODES_WITHOUT_ASSIGNMENT)


def _is_super(node: Node) -> bool:
    """Return whether a node is ``{{ block.super }}``.

    :raises CannotFlatten: if it uses the variable ``block`` in any other way.
    """
    token = getattr(node, "token", None)
    contents = token.contents.strip() if token and not isinstance(node, TextNode) else ""
    if isinstance(node, VariableNode) and contents == "block.super":
        return True
    if "block.super" in contents:
        raise CannotFlatten
    return False


def _walk(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for nodelist in _get_lists(node):
            yield from _walk(nodelist)


def _get_lists(node: Node) -> list[NodeList]:
    """Return the lists of nodes that a node contains, such as the branches of ``{% if %}``."""
    lists: list[NodeList] = []

    def collect(nodelist: NodeList) -> NodeList:
        lists.append(nodelist)
        return nodelist

    _map_lists(node, collect)
    return lists


def _map_lists(node: Node, function: Callable[[NodeList], NodeList]) -> Node:
    """Return a copy of a node with each list of nodes that it contains replaced; the node itself if there are none."""
    changed = {name: _map_value(value, function) for name, value in vars(node).items()}
    if all(changed[name] is value for name, value in vars(node).items()):
        return node
    copied = copy(node)
    copied.__dict__.update(changed)
    return copied


def _map_value(value: Any, function: Callable[[NodeList], NodeList]) -> Any:
    if isinstance(value, NodeList):
        return function(value)
    if type(value) in (list, tuple):
        mapped = [_map_value(item, function) for item in value]
        return value if all(new is old for new, old in zip(mapped, value, strict=True)) else type(value)(mapped)
    return value


def _mark(nodes: Sequence[Node], known: list[Node]) -> Iterator[str]:
    """Yield the text of the nodes, with a marker for each other node. Its number is its place in ``known``."""
    for node in nodes:
        if isinstance(node, TextNode):
            yield node.s
            continue
        number = len(known)
        known.append(node)
        if not (lists := _get_lists(node)):
            yield _make_marker(VALUE if isinstance(node, VariableNode) else LEAF, number)
            continue
        for index, nodelist in enumerate(lists):
            yield _make_marker(NEXT if index else OPEN, number)
            yield from _mark(nodelist, known)
        yield _make_marker(CLOSE, number)


def _make_marker(kind: str, number: int) -> str:
    return f"{MARK_START}{kind}{number}{MARK_END}"


def _split(marked: str) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the value of each part: a text with an empty kind, or a marker with its number."""
    position = 0
    for marker in MARKER.finditer(marked):
        if text := marked[position : marker.start()]:
            yield "", text
        yield marker[1], int(marker[2])
        position = marker.end()
    if text := marked[position:]:
        yield "", text


def _unmark(parts: Iterator[tuple[str, Any]], known: Sequence[Node], end: Sequence[str]) -> NodeList:
    """Return the nodes up to a marker of one of the kinds ``end``, or all."""
    return _read_list(parts, known, end)[0]


def _read_list(parts: Iterator[tuple[str, Any]], known: Sequence[Node], end: Sequence[str]) -> tuple[NodeList, str]:
    nodes: NodeList = NodeList()
    for kind, value in parts:
        if kind in end and kind:
            return nodes, kind
        if not kind:
            nodes.append(TextNode(value))
        elif kind == OPEN:
            nodes.append(_read_container(parts, known, value))
        else:
            nodes.append(known[value])
    return nodes, ""


def _read_container(parts: Iterator[tuple[str, Any]], known: Sequence[Node], number: int) -> Node:
    lists, kind = [], NEXT
    while kind == NEXT:
        nodelist, kind = _read_list(parts, known, (NEXT, CLOSE))
        lists.append(nodelist)
    replacements = iter(lists)
    return _map_lists(known[number], lambda _: next(replacements))
