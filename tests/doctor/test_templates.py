"""The texts of all events are rendered with invented values, in each language of the site."""

from enum import Enum

import pytest

from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.testing import temporary_events
from tests.doctor.diagnosing import list_faults

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
Orders = Enum("Orders", {"LATE": "order_late"})


@pytest.fixture
def find(settings, tmp_path):
    """Return a function that writes templates, and returns what the doctor says about the event."""
    folder = tmp_path / "notifications" / "order_late"
    folder.mkdir(parents=True)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    def find(texts, context=None, **options):
        for name, text in texts.items():
            (folder / name).write_text(text)
        with temporary_events():
            event = NotificationEvent(
                "order_late", NotificationPriority.HIGH, ["log", "email"], context=context or {"days": int}, **options
            )
            register(Orders.LATE, event)
            return [one for one in list_faults("templates") if "order_late" in one["detail"]]

    return find


EMAIL = {"email.subject.txt": "Late", "email.txt": "Late by {{ days }}"}


def test_a_text_that_can_be_rendered_is_no_fault(find):
    assert find({"log.txt": "{{ days }} days", **EMAIL}) == []


def test_an_error_while_rendering_names_the_event_the_channel_and_the_languages(find):
    [fault] = find({"log.txt": "{% url 'nowhere' %}", **EMAIL})
    assert (fault["status"], fault["name"]) == ("error", "template order_late/log")
    assert "for 'log' in en. NoReverseMatch" in fault["detail"]
    assert "templates/notifications/order_late/log.*" in fault["remedy"]


def test_a_translation_is_rendered_although_the_site_does_not_name_its_language(find):
    [fault] = find({"log.txt": "{{ days }}", "log.de.txt": "{% url 'nowhere' %}", **EMAIL})
    assert "for 'log' in de." in fault["detail"]


def test_each_language_of_the_site_is_rendered(find, settings):
    settings.LANGUAGES = [("en", "English"), ("de", "German"), ("fr", "French")]
    [fault] = find({"log.txt": "{% url 'nowhere' %}", **EMAIL})
    assert "in de, en, fr." in fault["detail"]


def test_the_layout_of_an_email_is_rendered_too(find):
    [fault] = find({"log.txt": "x", "email.subject.txt": "x", "email.html": "{% include 'nowhere.html' %}"})
    assert fault["name"] == "template order_late/email"


def test_a_transform_that_finds_no_row_is_a_warning(find):
    def look_up(context):
        raise LookupError("There is no such order.")

    [fault, _email] = find({"log.txt": "x", **EMAIL}, transforms={"log": look_up, "email": look_up})
    assert (fault["status"], "no such order" in fault["detail"]) == ("warning", True)


def test_a_syntax_error_of_a_part_that_is_not_required_is_an_error(find):
    [fault] = find({"log.txt": "x", **EMAIL, "email.html": "{% if %}"})
    assert "TemplateSyntaxError" in fault["detail"] or "cannot be read" in fault["detail"]


def test_a_missing_setting_is_a_warning_that_does_not_blame_the_template(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BASE_URL": ""}
    [fault] = [one for one in list_faults("templates") if one["name"] == "template magic_link/email"]
    assert (fault["status"], "correct the setting" in fault["remedy"]) == ("warning", True)
