"""From templates and variables to the text of one channel."""

from datetime import UTC, datetime

import pytest
from django.template import TemplateDoesNotExist
from django.utils import timezone, translation
from django.utils.safestring import mark_safe
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.delivering.rendering import find_template_errors, render
from notifications.delivering.rendering.templates import find_template
from notifications.exceptions import TemplateMissing

MAIL = "notifications/door_opened/email"
EVIL = "<script>alert('x')</script> & \"more\""


def rendered(variables=None, locale=("en", "UTC"), required=("subject.txt", "txt"), optional=("html",)):
    return render([("door_opened", "email")], required, optional, variables or {}, locale)


@pytest.fixture
def mail(templates):
    templates(
        {
            f"{MAIL}.subject.txt": "\n  Door {{ name }}  \n",
            f"{MAIL}.txt": "\n\nThe door {{ name }} is open.\n\n",
            f"{MAIL}.html": "<p>{{ name }}</p>",
        }
    )


@pytest.mark.usefixtures("mail")
class TestParts:
    def test_each_part_has_its_text(self):
        result = rendered({"name": "north"})
        assert (result.subject, result.text, result.html) == (
            "Door north",
            "The door north is open.\n",
            "<p>north</p>\n",
        )

    def test_text_is_not_escaped_and_html_is(self):
        result = rendered({"name": EVIL})
        assert EVIL in result.text
        assert result.subject == f"Door {EVIL}"
        assert "<script>" not in result.html
        assert "&lt;script&gt;" in result.html
        assert "&quot;more&quot;" in result.html

    def test_only_requested_parts_are_rendered(self):
        assert rendered({"name": "north"}, optional=()).html == ""

    @pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028"])
    def test_a_subject_is_one_line_for_any_context(self, end):
        subject = rendered({"name": f"north{end}Bcc: x@example.com"}).subject
        assert subject == "Door north Bcc: x@example.com"

    @settings(deadline=None)
    @given(name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    def test_a_subject_never_has_a_line_end(self, name):
        assert len(rendered({"name": name}).subject.splitlines()) == 1

    def test_the_result_has_the_language(self):
        assert rendered({"name": "north"}, ("de-at", "UTC")).language == "de-at"


def test_html_that_the_host_marks_safe_is_not_escaped(templates):
    templates({f"{MAIL}.html": "{{ name }}", f"{MAIL}.txt": "x"})
    assert rendered({"name": mark_safe("<b>x</b>")}, required=("txt",)).html == "<b>x</b>\n"


def test_a_missing_optional_part_is_left_out(templates):
    templates({f"{MAIL}.subject.txt": "x", f"{MAIL}.txt": "x"})
    assert rendered().html == ""


def test_an_empty_part_is_empty(templates):
    templates({f"{MAIL}.txt": "x", f"{MAIL}.html": "{% if picture %}<img src='{{ picture }}'>{% endif %}\n"})
    assert rendered(required=("txt",)).html == "", "otherwise the mail would show an empty page"


def test_the_error_for_a_missing_required_part_names_the_template(templates):
    templates({f"{MAIL}.txt": "x"})
    with pytest.raises(TemplateMissing, match=r"notifications/door_opened/email\.subject\.txt"):
        rendered()


def test_a_channel_never_uses_a_template_of_another(templates):
    templates({"notifications/door_opened/app.txt": "x"})
    with pytest.raises(TemplateMissing):
        rendered(required=("txt",))


def test_the_error_for_a_missing_include_names_the_include(templates):
    templates({f"{MAIL}.txt": "{% extends 'notifications/base.txt' %}"})
    with pytest.raises(TemplateDoesNotExist, match=r"notifications/base\.txt"):
        rendered(required=("txt",))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de-at", "Grüß Gott"),
        ("de-ch", "Guten Tag"),
        ("de", "Guten Tag"),
        ("zh-hant-tw", "你好"),
        ("fr", "Hello"),
        ("en-us", "Hello"),
        ("", "Hello"),
    ],
)
def test_the_language_falls_back_step_by_step(templates, language, text):
    templates(
        {
            f"{MAIL}.de-at.txt": "Grüß Gott",
            f"{MAIL}.de.txt": "Guten Tag",
            f"{MAIL}.zh-hant.txt": "你好",
            f"{MAIL}.txt": "Hello",
        }
    )
    assert rendered(locale=(language, "UTC"), required=("txt",)).text == f"{text}\n"


def test_each_part_falls_back_separately(templates):
    templates({f"{MAIL}.de.subject.txt": "Tür", f"{MAIL}.subject.txt": "Door", f"{MAIL}.txt": "Open"})
    result = rendered(locale=("de", "UTC"))
    assert (result.subject, result.text) == ("Tür", "Open\n")


def test_texts_are_translated_for_the_recipient_only(templates):
    templates({f"{MAIL}.txt": "{% load i18n %}{% translate 'Yes' %} {{ number|floatformat:'2g' }}"})
    with translation.override("fr"):
        assert rendered({"number": 1234.5}, ("de", "UTC"), ("txt",)).text == "Ja 1.234,50\n"
        assert translation.get_language() == "fr"


def test_times_are_in_the_time_zone_of_the_recipient(templates):
    templates({f"{MAIL}.txt": "{{ at|date:'Y-m-d H:i' }}"})
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert rendered({"at": noon}, ("en", "Asia/Kathmandu"), ("txt",)).text == "2026-03-29 17:45\n"
    assert rendered({"at": noon}, ("en", "Europe/Berlin"), ("txt",)).text == "2026-03-29 14:00\n"
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_host_can_override_a_template_of_klaxon(templates):
    templates({"notifications/message/email.txt": "Mine: {{ message }}"})
    assert render([("message", "email")], ["txt"], [], {"message": "x"}, ("en", "UTC")).text == "Mine: x\n"


def test_a_template_is_compiled_once():
    assert find_template([("message", "email")], "txt", "") is find_template((("message", "email"),), "txt", "en")


def test_a_required_template_must_exist_without_a_language(templates):
    templates({f"{MAIL}.de.txt": "x", f"{MAIL}.subject.txt": "x"})
    [fault] = find_template_errors([("door_opened", "email")], ["subject.txt", "txt"])
    assert f"{MAIL}.txt" in fault


def test_the_error_for_an_invalid_template_names_it(templates):
    templates({f"{MAIL}.txt": "{% if %}"})
    [fault] = find_template_errors([("door_opened", "email")], ["txt"])
    assert f"{MAIL}.txt" in fault
