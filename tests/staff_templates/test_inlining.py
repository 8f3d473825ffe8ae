"""The CSS of a version is inlined when it is published: once, and in the cage."""

import os

import pytest

from notifications.core import extras
from notifications.exceptions import PublishRefused
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.inlining import inline_css, inline_texts
from notifications.staff_templates.publishing import publish
from tests.staff_templates.conftest import deliver

pytestmark = [pytest.mark.needs("jinja2", "css_inline")]


def test_rules_become_style_attributes_and_template_tags_stay_where_they_are():
    html = (
        "<style>td { color: {{ color }}; } .big { font-size: 20px }</style><table>{% for row in rows %}"
        "<tr><td class='big'>{{ row < 3 }}{# a note #}</td></tr>{% endfor %}</table>"
    )
    inlined = inline_css(html)
    assert "<td class='big' style=\"color: {{ color }};font-size: 20px\">{{ row < 3 }}{# a note #}</td>" in inlined
    assert "<table>{% for row in rows %}<tr>" in inlined


def test_html_without_rules_is_not_changed():
    texts = {"html": "<p>{{ x }}</p>", "text": "x"}
    assert inline_texts(texts) == texts


def test_without_css_inline_the_html_is_not_changed(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda module: False)
    texts = {"html": "<style>p { color: red }</style><p>"}
    assert inline_texts(texts) == texts


@pytest.mark.parametrize(
    "html",
    [
        "<!--" * 60_000 + "<style>p{color:red}</style>",
        "{{" * 120_000 + "<style>p{color:red}</style>",
        "<style>" + "p{color:red}" * 12_000 + "</style>" + "<p>" * 20_000,
        "<style>p{color:red}</style>" + "x" * 300_000,
    ],
    ids=["comments", "tags", "rules", "length"],
)
def test_css_that_takes_too_long_is_a_fault(html):
    began = os.times()
    with pytest.raises(TemplateFault):
        inline_css(html)
    ended = os.times()
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 3


def test_the_characters_of_the_masks_are_refused():
    with pytest.raises(TemplateFault, match="contains the private character"):
        inline_css("<style>p{}</style>\ue000v0\ue001")


@pytest.mark.django_db
def test_a_published_version_is_sent_with_inlined_css(publish_texts):
    version = publish_texts(subject="x", html="<html><style>p { color: red }</style><p>{{ order_number }}</p></html>")
    assert version.html != version.inlined_html
    assert '<p style="color: red">7</p>' in deliver().alternatives[0].content


@pytest.mark.django_db
def test_a_version_whose_css_cannot_be_inlined_is_not_published(make_version):
    version = make_version(subject="x", html="<style>p { color: red }</style>\ue000")
    with pytest.raises(PublishRefused, match="private character"):
        publish(version)
