"""The publish gate refuses a version with which past messages would break."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import EditConflict, PublishRefused
from notifications.models import StaffTemplate, StaffTemplateVersion
from notifications.staff_templates.publishing import find_problems, publish
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents
from tests.staff_templates.conftest import send

pytestmark = [pytest.mark.django_db, pytest.mark.needs("jinja2")]


def problems_of(version):
    with pytest.raises(PublishRefused) as caught:
        publish(version)
    version.template.refresh_from_db()
    assert version.template.published is None
    return caught.value.problems


def test_a_renamed_variable_is_refused_and_names_the_past_notifications(make_version):
    numbers = [send().notification_id for _ in range(3)]
    problems = problems_of(make_version(subject="Order {{ number }}", text="x"))
    assert len(problems) == 3
    for number, problem in zip(sorted(numbers, reverse=True), problems, strict=True):
        assert problem.startswith(f"Notification {number} of ")
        assert problem.endswith(": subject.txt, line 1: UndefinedError: 'number' is undefined")


def test_only_contexts_of_its_own_event_and_cluster_are_rendered(make_version):
    user, cluster = UserFactory(), ClusterFactory()
    cluster.members.add(user)
    send()
    own = send(user=user, cluster=cluster).notification_id
    [problem] = problems_of(make_version(cluster=cluster, subject="{{ number }}", text="x"))
    assert f"Notification {own} " in problem


def test_without_past_notifications_sample_values_are_rendered(make_version):
    [problem] = problems_of(make_version(subject="{{ number }}", text="x"))
    assert problem.startswith("A message with sample values: ")
    publish(make_version(subject="{{ order_number }}", text="{{ eta.year }}"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"subject": "x" * 201, "text": "x"}, "The subject has 201 characters; at most 200 are allowed."),
        ({"subject": "{{ eta }}", "text": "x"}, "The subject is empty."),
        ({"subject": "x", "text": "ä" * 60_000}, "The part txt has 120,001 bytes; mail programs cut it after 102,400."),
        ({"subject": "x"}, "The staff template has neither 'text' nor 'html'."),
        ({"text": "x"}, "The staff template has no 'subject'."),
        ({"subject": "x", "text": "{% if %}"}, "txt, line 1: TemplateSyntaxError: Expected an expression"),
        ({"subject": "x", "text": "{{ ''.__class__ }}"}, "SecurityError"),
        ({"subject": "x", "text": "{{ 'x' * 10**9 }}"}, "txt, line 1: MemoryError"),
        ({"subject": "x", "text": "{% for a in range(9**6) %}{% endfor %}"}, "OverflowError: Range too big"),
        ({"subject": "x", "text": "x", "html": "<a href='/pay/'>"}, "The link '/pay/' is relative; begin it with"),
        ({"subject": "x", "text": "x", "html": "<a href='{{ eta }}'>"}, "The link '' is empty."),
        (
            {"subject": "x", "text": "x", "html": "<p>hi</p><!-- oops"},
            "A comment has no end.",
        ),
        ({"subject": "x", "text": "x", "html": "<p>hi</p><style>"}, "The element <style> has no end tag"),
        ({"subject": "x", "text": "x", "html": "<p onclick='x'>hi</p>"}, "remove the attribute onclick."),
    ],
)
def test_a_message_that_is_too_long_or_has_a_broken_link_is_refused(make_version, texts, expected):
    send()
    assert any(expected in problem for problem in problems_of(make_version(**texts)))


def test_good_links_are_not_refused(make_version):
    send()
    html = """
    <h1 id="top">{{ order_number }}</h1><a href="{{ base_url }}/pay/">Pay</a> <a href="#top">Top</a>
    <a href="mailto:shop@example.com">Write</a> <a href="tel:+43123">Call</a> <img src="cid:logo" alt="">
    """
    publish(make_version(subject="x", text="x", html=html))


def test_a_template_that_is_slow_is_refused(make_version, monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.message_limits.MAX_SECONDS", 0.0)
    send()
    [problem] = problems_of(make_version(subject="x", text="{% for a in range(9999) %}{{ a }}{% endfor %}"))
    assert "s of CPU time; at most 0.0 s are allowed." in problem


def test_a_template_that_is_slow_on_average_is_refused(make_version, monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.message_limits.USUAL_SECONDS", 0.0)
    send()
    [problem] = problems_of(make_version(subject="x", text="x"))
    assert problem.endswith("s of CPU time on average; at most 0.0 s are allowed.")


def test_messages_that_were_not_tried_are_refused(make_version, monkeypatch):
    monkeypatch.setattr("notifications.staff_templates.cage.process.GROUP_CPU_SECONDS", 0.0)
    numbers = [send().notification_id for _ in range(3)]
    [problem] = problems_of(make_version(subject="x", text="x"))
    assert problem.startswith(f"Notification {numbers[1]} of ")
    assert problem.endswith(": The messages before it took too long.")


def test_a_template_that_hangs_is_refused_with_the_first_message(make_version):
    numbers = [send().notification_id for _ in range(3)]
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    [problem] = problems_of(make_version(subject="x", text=loop))
    assert problem.startswith(f"Notification {numbers[-1]} of ")
    assert problem.endswith(": Stopped: It took too long.")


def test_every_variant_of_a_test_is_rendered(make_version, monkeypatch):
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    tested = replace(event, variants={"short": 1, "long": 1})
    monkeypatch.setitem(NOTIFICATION_EVENTS._by_name, "order_shipped", tested)
    number = send().notification_id
    text = "{% if variant == 'long' %}{{ gone }}{% else %}{{ order_number }}{% endif %}"
    [problem] = problems_of(make_version(subject="x", text=text))
    assert problem.startswith(f"Notification {number} of ")
    assert problem.endswith(", variant long: txt, line 1: UndefinedError: 'gone' is undefined")


def test_an_error_shows_no_values_to_people_who_may_not_see_them(make_version):
    number = send(context={"order_number": "only-for-tests", "eta": None}).notification_id
    texts = {
        "{{ {}[order_number] }}": "txt, line 1: UndefinedError",
        "{{ gone }}": "txt, line 1: UndefinedError: 'gone' is undefined",
        "{{ ''[order_number].x }}": "txt, line 1: UndefinedError",
    }
    for text, expected in texts.items():
        with pytest.raises(PublishRefused) as caught:
            publish(make_version(subject="x", text=text), shows_values=False)
        [problem] = caught.value.problems
        assert problem.startswith(f"Notification {number} of ")
        assert problem.endswith(f": {expected}")


def test_an_error_of_the_parser_of_the_page_is_a_problem(make_version, monkeypatch):
    def fail(*arguments):
        raise RecursionError("too deep")

    monkeypatch.setattr("notifications.staff_templates.publishing.put_into_layout", fail)
    number = send().notification_id
    [problem] = problems_of(make_version(subject="x", text="x"))
    assert problem.startswith(f"Notification {number} of ")
    assert problem.endswith(": too deep")


def test_a_template_of_an_event_without_values_is_compiled(make_version, monkeypatch):
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    monkeypatch.setitem(NOTIFICATION_EVENTS._by_name, "order_shipped", replace(event, context=None))
    [problem] = problems_of(make_version(subject="x", text="{% if %}"))
    assert problem.startswith("txt, line 1: TemplateSyntaxError")


def test_an_event_or_channel_that_is_gone_is_refused(make_version):
    assert find_problems(make_version(event="gone")) == ["The event 'gone' is not registered."]
    [problem] = find_problems(make_version(channel="gone"))
    assert "The channel 'gone' is not configured" in problem


def test_a_transform_that_fails_names_the_notification(make_version, monkeypatch):
    number = send().notification_id
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    monkeypatch.setitem(event.transforms, "email", lambda context: context["gone"])
    [problem] = problems_of(make_version(subject="x", text="x"))
    assert problem.startswith(f"Notification {number} of ")
    assert problem.endswith("'gone'")


def test_the_gate_takes_a_constant_number_of_statements(make_version, django_assert_max_num_queries):
    for _ in range(15):
        send()
    version = make_version(subject="{{ order_number }}", text="x")
    with django_assert_max_num_queries(5):
        find_problems(version)


def test_a_second_editor_is_refused_with_the_version_that_came_first(make_version):
    first = make_version(subject="One", text="x")
    template = first.template
    second = template.save_version({"subject": "Two", "text": "x"}, expected_version=1)
    assert second.number == 2
    with pytest.raises(EditConflict) as caught:
        template.save_version({"subject": "Three", "text": "x"}, expected_version=1)
    assert caught.value.latest == second
    assert StaffTemplateVersion.objects.count() == 2


def test_saving_without_a_change_adds_no_version(make_version):
    first = make_version(subject="One", text="x")
    assert first.template.save_version({"subject": "One", "text": "x"}, expected_version=1) == first


def test_a_template_is_unique_by_event_channel_language_and_cluster(make_version):
    make_version()
    with pytest.raises(IntegrityError), transaction.atomic():
        StaffTemplate.objects.create(event="order_shipped", channel="email")
    StaffTemplate.objects.create(event="order_shipped", channel="email", cluster=ClusterFactory())
