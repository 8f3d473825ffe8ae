"""The editor of staff templates in the admin."""

import re
from dataclasses import replace

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.test import Client
from django.urls import reverse

from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Cluster, Notification, StaffTemplate
from notifications.staff_templates.cage.pool import CAGE
from tests.admin.conftest import customers, send
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.django_db, pytest.mark.needs("jinja2")]

TEXTS = {"subject": "Order {{ order_number }}", "html": "<p>{{ order_number }}</p>", "text": "x", "short": ""}


@pytest.fixture(autouse=True)
def close_cage():
    yield
    CAGE.close()


@pytest.fixture
def template(db):
    return StaffTemplate.objects.create(event="order_shipped", channel="email")


def url(name, template=None):
    return reverse(f"admin:klaxon_stafftemplate_{name}", args=[template.pk] if template else [])


def submit(client, template, action="save", expected=0, **values):
    data = {**TEXTS, "expected_version": expected, "comment": "", "context": "sample", "action": action, **values}
    return client.post(url("change", template), data, follow=True)


def shown_messages(response):
    return [str(message) for message in response.context["messages"]]


def test_adding_a_template_opens_its_editor(boss):
    data = {"event": "order_shipped", "channel": "email", "language": "de_AT", "cluster": ""}
    response = boss.post(url("add"), data)
    template = StaffTemplate.objects.get()
    assert template.language == "de-at"
    assert response.url == url("change", template)
    again = boss.post(url("add"), data)
    assert "There is a template for this event, channel and language already." in again.content.decode()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"channel": "log"}, "This event supports only: email, app."),
        ({"language": "../de"}, "Enter a language code such as de or de-at."),
        ({"event": "gone"}, "Select a valid choice."),
    ],
)
def test_a_template_that_no_message_would_use_cannot_be_added(boss, values, expected):
    data = {"event": "order_shipped", "channel": "email", "language": "", "cluster": "", **values}
    assert expected in boss.post(url("add"), data).content.decode()


def test_a_sensitive_event_or_a_digest_has_no_staff_template(boss, monkeypatch):
    page = boss.get(url("add")).content.decode()
    assert 'value="order_shipped"' in page
    assert 'value="daily_digest"' not in page
    member = ShopEvents.ORDER_SHIPPED
    sensitive = replace(NOTIFICATION_EVENTS[member], sensitive=True, loggable=())
    monkeypatch.setitem(NOTIFICATION_EVENTS._events, member, sensitive)
    assert 'value="order_shipped"' not in boss.get(url("add")).content.decode()


def test_the_list_shows_what_is_published(boss, template, django_assert_max_num_queries):
    template.save_version(TEXTS, 0)
    for language in "abcdefgh":
        StaffTemplate.objects.create(event="order_shipped", channel="email", language=language)
    with django_assert_max_num_queries(8):
        page = boss.get(url("changelist")).content.decode()
    assert page.count("not published") == 9


def test_every_save_adds_a_version(boss, template):
    response = submit(boss, template)
    assert shown_messages(response) == ["Version 1 is saved."]
    submit(boss, template, expected=1, subject="Two", comment="Shorter")
    latest = template.latest
    assert (latest.number, latest.subject, latest.comment, latest.author.username) == (2, "Two", "Shorter", "boss")
    page = boss.get(url("change", template)).content.decode()
    assert "Shorter" in page
    assert 'name="expected_version" value="2"' in page


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"html": "<p>\n{% if %}"}, "html, line 2: TemplateSyntaxError"),
        ({"subject": "{{ 'x' * 10**9 }}"}, ""),
        ({"short": "{{ " + "(" * 20000 + ")" * 20000 + " }}"}, "RecursionError"),
        ({"text": "{{ gone }}"}, ""),
    ],
)
def test_a_text_that_cannot_be_compiled_is_not_saved(boss, template, values, expected):
    response = submit(boss, template, **values)
    assert expected in response.content.decode()
    assert (template.latest is None) == bool(expected)


def test_line_breaks_of_browsers_are_no_change(boss, template):
    submit(boss, template, text="a\r\nb")
    assert template.latest.text == "a\nb"
    submit(boss, template, expected=1, text="a\r\nb")
    assert template.latest.number == 1


def test_a_second_editor_is_refused_with_the_difference_and_keeps_the_text(boss, template):
    submit(boss, template)
    submit(boss, template, expected=1, subject="Theirs")
    response = submit(boss, template, expected=1, subject="Mine")
    page = response.content.decode()
    assert response.status_code == 409
    assert template.latest.subject == "Theirs"
    assert re.search(r'class="remove">-Theirs', page)
    assert re.search(r'class="add">\+Mine', page)
    assert ">\nMine</textarea>" in page
    assert "boss has saved version 2 in the meantime" in page
    # After having seen the difference, saving again replaces it.
    assert 'name="expected_version" value="2"' in page
    submit(boss, template, expected=2, subject="Mine")
    assert template.latest.subject == "Mine"


def test_publishing_is_refused_and_names_the_past_notifications(boss, template):
    number = send(customers(1))
    response = submit(boss, template, action="publish", subject="{{ number }}")
    summary, problem = shown_messages(response)
    assert summary == "Version 1 is saved but not published, because these messages would break:"
    assert f"Notification {number} of" in problem
    template.refresh_from_db()
    assert template.published is None


def test_publishing_and_rolling_back(boss, template):
    response = submit(boss, template, action="publish")
    assert shown_messages(response) == ["Version 1 is published. The next message uses it."]
    submit(boss, template, action="publish", expected=1, subject="Two")
    template.refresh_from_db()
    assert template.published.number == 2
    boss.post(url("change", template), {"action": "publish-version", "number": "1"})
    template.refresh_from_db()
    assert template.published.number == 1
    boss.post(url("change", template), {"action": "unpublish"})
    template.refresh_from_db()
    assert template.published is None
    assert boss.post(url("change", template), {"action": "publish-version", "number": "9"}).status_code == 404
    assert boss.post(url("change", template), {"action": "publish-version", "number": "x"}).status_code == 404


def test_an_earlier_version_can_be_opened(boss, template):
    submit(boss, template, subject="One")
    submit(boss, template, expected=1, subject="Two")
    page = boss.get(url("change", template) + "?version=1").content.decode()
    assert ">\nOne</textarea>" in page
    assert "Saving them adds a new version." in page


def test_the_preview_shows_the_submitted_texts_with_the_values_of_a_past_message(boss, template):
    number = send(customers(1))
    data = {**TEXTS, "html": "<p>{{ order_number }} for {{ recipient.username }}</p>", "expected_version": 0}
    response = boss.post(url("preview", template), {**data, "context": str(number)})
    page = response.content.decode()
    assert re.search(r'sandbox srcdoc="&lt;!DOCTYPE html&gt;[^"]*&lt;p&gt;7 for ann0&lt;/p&gt;', page)
    assert f"Notification {number}" in page
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert template.latest is None


def test_the_preview_shows_the_fault_of_a_template(boss, template):
    data = {**TEXTS, "html": "<p>\n{{ gone }}</p>", "expected_version": 0, "context": "sample"}
    page = boss.post(url("preview", template), data).content.decode()
    assert "html, line 2: UndefinedError: &#x27;gone&#x27; is undefined" in page
    assert "Use the button of the editor" in boss.get(url("preview", template)).content.decode()


def test_hostile_html_stays_in_its_frame(boss, template):
    data = {**TEXTS, "html": '"><script>alert(1)</script>', "expected_version": 0, "context": "sample"}
    page = boss.post(url("preview", template), data).content.decode()
    assert "<script" not in page


def test_a_bomb_in_the_preview_or_the_gate_is_stopped(boss, template):
    bomb = {"text": "{{ 'x' * 10**9 }}"}
    data = {**TEXTS, **bomb, "expected_version": 0, "context": "sample"}
    assert "MemoryError" in boss.post(url("preview", template), data).content.decode()
    assert "MemoryError" in shown_messages(submit(boss, template, action="publish", **bomb))[1]


def test_a_test_message_is_sent_to_the_editor_only(boss, template):
    send(customers(1), dispatch=False)
    response = submit(boss, template, action="test")
    assert shown_messages(response) == ["The test was not sent. Your account has no address for the channel 'email'."]
    user = response.wsgi_request.user
    user.email = "boss@example.com"
    user.save()
    response = submit(boss, template, action="test", subject="New {{ order_number }}")
    assert shown_messages(response) == ["The test was sent to your address."]
    [message] = mail.outbox
    assert (message.to, message.subject) == (["boss@example.com"], "[Test] New order number")
    assert template.latest is None
    assert ">\nNew {{ order_number }}</textarea>" in response.content.decode()
    number = str(Notification.objects.get().pk)
    submit(boss, template, action="test", context=number)
    submit(boss, template, action="test", context=number)
    # Mail programs hide a message whose id they have seen.
    assert len({message.message()["Message-ID"] for message in mail.outbox}) == 3


def test_values_of_past_messages_require_the_permission_to_view_notifications(staff_with, template):
    number = send(customers(1))
    clerk = staff_with("view_stafftemplate", "change_stafftemplate")
    page = clerk.get(url("change", template)).content.decode()
    assert f'value="{number}"' not in page
    data = {**TEXTS, "text": "{{ order_number }}", "expected_version": 0, "context": str(number)}
    assert "is not one of the available choices" in clerk.post(url("preview", template), data).content.decode()
    data["context"] = "sample"
    assert ">order number" in clerk.post(url("preview", template), data).content.decode()


def test_permissions(staff_with, template):
    submit_as = {
        ("view_stafftemplate",): (403, 403),
        ("view_stafftemplate", "change_stafftemplate"): (200, 403),
        ("view_stafftemplate", "change_stafftemplate", "publish_stafftemplate"): (200, 200),
    }
    for number, (permissions, (save, publish)) in enumerate(submit_as.items()):
        user = User.objects.create_user(f"clerk{number}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        expected = template.latest.number if template.latest else 0
        assert submit(client, template, expected=expected).status_code == save
        expected = template.latest.number if template.latest else 0
        assert submit(client, template, action="publish", expected=expected).status_code == publish
        assert client.get(url("change", template)).status_code == 200
    nobody = staff_with()
    assert nobody.get(url("change", template)).status_code == 403
    assert nobody.post(url("preview", template), TEXTS).status_code == 403


def test_a_template_that_does_not_exist_is_404(boss, template):
    template.pk += 100
    assert boss.get(url("change", template)).status_code == 404
    assert boss.post(url("preview", template), TEXTS).status_code == 404


def test_the_page_has_no_inline_script_or_style(boss, template):
    page = boss.get(url("change", template)).content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.split("<main")[-1])
    assert " style=" not in page
    assert " onclick=" not in page


def test_the_editor_takes_a_constant_number_of_statements(boss, template, django_assert_max_num_queries):
    send(customers(3))
    for number in range(10):
        template.save_version({"subject": str(number)}, number)
    with django_assert_max_num_queries(14):
        boss.get(url("change", template))


def test_a_cluster_can_have_its_own_template(boss):
    cluster = Cluster.objects.default()
    boss.post(url("add"), {"event": "order_shipped", "channel": "email", "language": "", "cluster": cluster.pk})
    assert f"For {cluster}." in boss.get(url("change", StaffTemplate.objects.get())).content.decode()


def test_a_version_that_workers_had_to_stop_says_so_and_cannot_be_published(boss, template):
    submit(boss, template, action="publish")
    template.versions.update(fault="It took too long. This happened with 3 messages.")
    page = boss.get(url("change", template)).content.decode()
    assert "Workers had to stop the published version and do not use it: It took too long." in page
    assert "version 1 was stopped" in boss.get(url("changelist")).content.decode()
    response = boss.post(url("change", template), {"action": "publish-version", "number": "1"}, follow=True)
    assert "Workers had to stop version 1" in shown_messages(response)[1]


def test_nothing_is_saved_by_people_who_may_not_publish_if_they_try(staff_with, template):
    clerk = staff_with("view_stafftemplate", "change_stafftemplate")
    assert submit(clerk, template, action="publish").status_code == 403
    assert template.latest is None


def test_publishing_shows_no_values_to_people_who_may_not_view_notifications(staff_with, template):
    send(customers(1))
    clerk = staff_with("view_stafftemplate", "change_stafftemplate", "publish_stafftemplate")
    texts = {"subject": "{{ {}[order_number] }}", "html": "<a href='/{{ order_number }}/'>x</a>"}
    for name, text in texts.items():
        latest = template.latest
        expected = latest.number if latest else 0
        response = submit(clerk, template, action="publish", expected=expected, **{name: text})
        problem = shown_messages(response)[1]
        assert "Notification" in problem
        assert "'7'" not in problem
        assert "/7/" not in problem


def test_the_preview_loads_no_images_of_other_sites(boss, template):
    # With one, the author of a template would get the values that somebody else sees in the preview.
    policy = boss.get(url("preview", template))["Content-Security-Policy"]
    assert "img-src 'self' data: https://shop.example.com;" in policy
    assert "https: " not in policy.replace("https://shop.example.com", "")


def test_many_problems_are_cut(boss, template):
    people = customers(1)
    for _ in range(20):
        send(people)
    response = submit(boss, template, action="publish", html="<a href=''>x</a><a href='/x/'>x</a>", subject="x" * 201)
    assert len(shown_messages(response)) == 32
    assert shown_messages(response)[-1] == "And 30 more."
