"""CSS inlining of templates."""

import logging

import pytest
from django.template import Context, Engine

from notifications.delivering.rendering.flattening import prepare_html

pytestmark = pytest.mark.needs("css_inline")


def inline(source, **values):
    return prepare_html(Engine().from_string(source)).render(Context(values))


def style(css, directive="remove"):
    return f'<style data-css-inline="{directive}">{css}</style>'


RED = style(".a { color: red; }")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<p class="a">x</p>', '<p class="a" style="color: red">x</p>'),
        ("<p class='a'/>", "<p class='a' style=\"color: red\"/>"),
        ('<img class="a" src="{{ url }}">', '<img class="a" src="/i" style="color: red">'),
        ('<p class="b a" style="margin: 0">x</p>', '<p class="b a" style="color: red;margin: 0">x</p>'),
        ("<p class='a' style='font: \"x\"'>x</p>", "<p class='a' style=\"color: red;font: &quot;x&quot;\">x</p>"),
        ('<p class="a" style="margin: {{ n }}px">x</p>', '<p class="a" style="color: red;margin: 5px">x</p>'),
        ('<p class="b">x</p>', '<p class="b">x</p>'),
        ("<p>{{ n }} < 6 > 4 &amp; é</p>", "<p>5 < 6 > 4 &amp; é</p>"),
    ],
)
def test_declarations_become_attributes_and_nothing_else_changes(source, expected):
    assert inline(RED + source, url="/i", n=5) == expected


def test_both_branches_of_a_condition_get_their_style():
    source = (
        RED + '<table>{% if x %}<tr class="a"><td>1{% else %}<tr class="a"><td class="a">2{% endif %}</td></tr></table>'
    )
    assert inline(source, x=True) == '<table><tr class="a" style="color: red"><td>1</td></tr></table>'
    expected = '<table><tr class="a" style="color: red"><td class="a" style="color: red">2</td></tr></table>'
    assert inline(source, x=False) == expected


def test_the_body_of_a_loop_gets_its_style():
    source = RED + '<table>{% for i in items %}<tr><td class="a">{{ i }}</td></tr>{% endfor %}</table>'
    assert inline(source, items=[1, 2]).count('<td class="a" style="color: red">') == 2


def test_a_variable_in_a_declaration_keeps_its_value():
    source = style(".a { color: {{ color }}; margin: 0; }") + '<p class="a">x</p><i class="a"></i>'
    assert inline(source, color="#123456").count("color: #123456;margin: 0") == 2


def test_a_value_in_a_declaration_is_escaped_as_in_any_attribute():
    source = style(".a { color: {{ color }}; }") + '<p class="a">x</p>'
    assert 'style="color: &quot;&gt;' in inline(source, color='"><script>')


def test_a_class_that_depends_on_the_context_is_not_inlined():
    css = style(".big { margin: 1px; } .p1 { margin: 2px; } .a { color: red; }")
    assert inline(css + '<p class="a {% if x %}big{% endif %}">x</p>') == '<p class="a " style="color: red">x</p>'
    assert inline(css + '<p class="a p{{ x }}">x</p>', x=1) == '<p class="a p1" style="color: red">x</p>'


def test_an_attribute_that_may_be_missing_is_left_alone():
    source = RED + '<p class="a"{% if x %} style="margin: 0"{% endif %}>x</p>'
    assert inline(source, x=True) == '<p class="a" style="margin: 0">x</p>'


def test_a_style_element_stays_by_default():
    source = '<style>.a { color: red; } @media print { .a { color: black; } }</style><p class="a">x</p>'
    assert inline(source) == source.replace('<p class="a">', '<p class="a" style="color: red">')


def test_a_style_element_can_be_ignored():
    source = style(".a { color: red; }", "ignore") + '<p class="a">x</p>'
    assert inline(source) == source


def test_a_style_element_with_logic_is_ignored():
    source = style("{% if x %}.a { color: red; }{% endif %}") + '<p class="a">x</p>'
    assert inline(source, x=True) == style(".a { color: red; }") + '<p class="a">x</p>'


def test_conditional_comments_for_outlook_are_left_alone():
    source = '<!--[if mso]><table class="a"><tr><td><![endif]--><p>x</p><!--[if mso]></td></tr></table><![endif]-->'
    assert inline(RED + source) == source


def test_css_that_cannot_be_read_is_reported_once_and_sent_as_it_is(caplog):
    source = '<style>.a { color: red; } .b:::x( { </style><p class="a" style="margin: 0">x</p>'
    with caplog.at_level(logging.WARNING):
        assert "<p" in inline(source)


def test_no_stylesheet_is_loaded_from_elsewhere():
    source = RED + '<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><p class="a">x</p>'
    assert inline(source).endswith('<p class="a" style="color: red">x</p>')


@pytest.mark.parametrize("words", ["", " with n=7", " with n=7 only"])
def test_an_included_template_gets_its_style(words):
    files = {"a.html": RED + "{% include 'b.html'" + words + " %}", "b.html": '<p class="a">{{ n }}</p>'}
    engine = Engine(loaders=[("django.template.loaders.locmem.Loader", files)])
    rendered = prepare_html(engine.get_template("a.html")).render(Context({"n": 7}))
    assert rendered == '<p class="a" style="color: red">7</p>'
