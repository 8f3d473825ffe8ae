"""What the editor does with texts in the cage: inline CSS, find faults, and compare versions."""

import os

import pytest

from notifications.core import extras
from notifications.exceptions import PublishRefused
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.publishing import publish
from notifications.staff_templates.tools import (
    build_diff,
    find_broken_links,
    find_markup_faults,
    inline_css,
    inline_texts,
)
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


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("", "The link '' is empty."),
        ("/pay/", "The link '/pay/' is relative; begin it with {{ base_url }}."),
        ("#gone", "The link '#gone' leads to an anchor that does not exist."),
        ("https:///a.png", "The link 'https:///a.png' is malformed."),
        ("https://example.com:99999/", "The link 'https://example.com:99999/' is malformed."),
        ("mailto:", "The link 'mailto:' is malformed."),
        ("tel:", "The link 'tel:' is malformed."),
        ("https://[::1/", "The link 'https://[::1/' is malformed."),
        ("javascript:alert(1)", "The link 'javascript:alert(1)' has a scheme that mail programs refuse."),
    ],
)
def test_a_link_that_cannot_work_is_found(link, expected):
    page = f"<a href='https://shop.example.com/'>x</a><a href='{link}'>y</a>"
    assert find_broken_links(["", page, "<p>"]) == [[], [expected], []]


def test_the_link_is_not_shown_to_people_who_may_not_see_values():
    [[sentence]] = find_broken_links(["<a href='/orders/7/'>"], shows_links=False)
    assert "orders" not in sentence
    assert "is relative" in sentence


def test_only_the_first_links_are_listed():
    page = "".join(f"<a href='/{number}/'>x</a>" for number in range(1000))
    assert [len(found) for found in find_broken_links([page])] == [5]


@pytest.mark.parametrize("page", ["<!--" * 60_000, "<![CDATA[x>" * 20_000], ids=["comments", "sections"])
def test_html_whose_links_take_too_long_to_find_is_a_fault(page):
    with pytest.raises(TemplateFault, match="Its links cannot be read"):
        find_broken_links([page])


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>hi</p><!-- oops", "A comment has no end."),
        ("<p>hi</p><!--->-->", ""),
        ("<!-- a --!><!--[if mso]><table><![endif]--><![if !mso]><br><![endif]>", ""),
        ("<p>hi</p><! oops", "A comment has no end."),
        ("<p>hi</p><style>p { }", "The element <style> has no end tag"),
        ("<style>p { }</style ><TITLE>x</title><textarea><!-- </textarea>", ""),
        ("<title>x</titles>", "The element <title> has no end tag"),
        ("<textarea>", "The element <textarea> has no end tag"),
        ('<a href="https://example.com/>x</a>', "The tag <a> has no end."),
        ('<p "><!--" >', "A comment has no end."),
        ("<p title=it's>a < b &lt; c</p><br/><img alt='>' src=cid:a>", ""),
        ("<table><tr><td>x</table>", ""),
        ("<table hidden><tr><td>x</td></tr>", "The element <table> has no end tag"),
        ("</td></tr></table><div hidden>", "The tag <td> is in no table of the template"),
        ("<tbody hidden>", "The tag <tbody> is in no table of the template"),
        ("<p>a<ul><li>b</ul><div>", ""),
        ("<script>alert(1)</script>", "Many mail programs remove the element <script>."),
        ("<script>", "The element <script> has no end tag"),
        ("<form action='https://example.com/'></form>", "Many mail programs remove the element <form>."),
        ("<svg/onload=x>", "Many mail programs remove the attribute onload."),
        ("<p OnClick = 'x' title='on'>", "Many mail programs remove the attribute onclick."),
    ],
)
def test_html_that_hides_the_footer_or_is_removed_is_found(html, expected):
    [sentences] = find_markup_faults([html])
    assert any(expected in sentence for sentence in sentences) if expected else sentences == []


def test_faults_of_many_messages_are_found_at_once():
    assert list(map(len, find_markup_faults(["", "<p>", "<td>" * 9, "<p " + "/" * 100_000]))) == [0, 0, 1, 1]


def test_the_difference_of_two_versions_has_a_kind_for_each_line():
    old, new = {"subject": "One", "text": "a\nb"}, {"subject": "Two", "text": "a\nb"}
    assert build_diff(old, new) == [
        ("head", "--- subject, as saved"),
        ("head", "+++ subject, yours"),
        ("head", "@@ -1 +1 @@"),
        ("remove", "-One"),
        ("add", "+Two"),
    ]


def test_a_long_difference_is_cut():
    old, new = ("\n".join(f"{side}{number}" for number in range(5000)) for side in "ab")
    lines = build_diff({"html": old}, {"html": new})
    assert len(lines) == 2001
    assert lines[-1] == ("head", "…")


def test_texts_that_take_too_long_to_compare_are_a_fault():
    old = "\n".join(str(number % 127) for number in range(80_000))
    new = "\n".join(str(number * 7 % 127) for number in range(80_000))
    with pytest.raises(TemplateFault, match="The versions cannot be compared"):
        build_diff({"html": old}, {"html": new})
