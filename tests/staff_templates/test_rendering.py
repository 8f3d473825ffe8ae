"""A worker renders messages with the published templates of staff."""

import logging
from datetime import date, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from notifications.core import clock
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import PublishRefused, RenderingUnavailable
from notifications.models import (
    Cluster,
    Delivery,
    InboxItem,
    NotificationLog,
    StaffTemplate,
    StaffTemplateVersion,
)
from notifications.outcomes import DeliveryState
from notifications.staff_templates import published
from notifications.staff_templates.cage.pool import Cage
from notifications.staff_templates.published import build_source
from notifications.staff_templates.publishing import publish, unpublish
from notifications.staff_templates.stopping import record_seconds
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.staff_templates.conftest import deliver, send

pytestmark = [pytest.mark.django_db, pytest.mark.needs("jinja2")]

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def publish_unchecked(version):
    """Publish a version as if the gate had seen no message that breaks."""
    template = version.template
    template.published = version
    template.save()


def test_a_published_template_replaces_the_template_files_of_its_channel(publish_texts):
    publish_texts(subject="Order {{ order_number }}", text="Hello {{ recipient }}.", html="<p>{{ order_number }}</p>")
    message = deliver(user=UserFactory(username="ann"), context={"order_number": "<7>", "eta": None})
    assert message.subject == "Order <7>"
    assert message.body.startswith("Hello ann.\n")
    assert "<p>&lt;7&gt;</p>" in message.alternatives[0].content
    # The inbox item has its own template file.
    assert "<7>" in InboxItem.objects.get().title


def test_an_unpublished_version_is_not_used(make_version):
    make_version(subject="Draft", text="Draft")
    assert deliver().subject != "Draft"


def test_a_subject_is_one_line(publish_texts):
    publish_texts(subject="Order\n{{ order_number }}", text="x")
    message = deliver(context={"order_number": "7\r\nBcc: all@example.com", "eta": None})
    assert message.subject == "Order 7 Bcc: all@example.com"
    assert "Bcc" not in message.message()


def test_html_that_is_no_document_is_put_into_the_layout(publish_texts):
    publish_texts(subject="Order", text="x", html="<p>{{ order_number }}</p>")
    html = deliver().alternatives[0].content
    assert html.startswith("<!DOCTYPE html>")
    assert "<p>7</p>" in html
    publish_texts(subject="Order", text="x", html="<html><body><p>{{ order_number }}</p></body></html>")
    assert deliver().alternatives[0].content == "<html><body><p>7</p></body></html>\n"


def test_the_text_or_the_html_is_derived_from_the_other(publish_texts):
    publish_texts(subject="Order", text="Your order {{ order_number }}")
    assert "Your order &lt;7&gt;" in deliver(context={"order_number": "<7>", "eta": None}).alternatives[0].content
    publish_texts(subject="Order", html="<p>Your order <b>{{ order_number }}</b></p>")
    assert "Your order <7>" in deliver(context={"order_number": "<7>", "eta": None}).body


def test_the_layout_shows_the_button_of_the_event(publish_texts, monkeypatch):
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    button = {"action_url": "/orders/7/", "action_label": "Track it"}
    monkeypatch.setitem(event.transforms, "email", lambda context: {**context, **button})
    publish_texts(subject="Order", text="x", html="<p>{{ action_label }}</p>")
    html = deliver().alternatives[0].content
    assert 'href="https://shop.example.com/orders/7/"' in html
    assert html.count("Track it") == 2


def test_the_channel_app_has_templates_too(publish_texts):
    publish_texts(channel="app", subject="Shipped", text="{{ order_number }} is shipped.")
    deliver()
    assert InboxItem.objects.get().title == "Shipped"


def test_values_are_shown_in_the_language_and_time_zone_of_the_recipient(publish_texts):
    publish_texts(subject="{{ eta }}", text="{{ eta.short }} {{ eta.year }}")
    settings = UserSettingsFactory(language="de", cluster=Cluster.objects.default())
    message = deliver(user=settings.user, context={"order_number": "7", "eta": date(2026, 12, 15)})
    assert message.subject == "15. Dezember 2026"
    assert message.body.startswith("15.12.2026 2026\n")


def test_an_optional_value_that_is_missing_is_empty(publish_texts):
    publish_texts(subject="x{{ eta }}", text="{% if eta %}It comes.{% else %}Wait.{% endif %}")
    message = deliver(context={"order_number": "7", "eta": None})
    assert message.subject == "x"
    assert message.body.startswith("Wait.\n")


def test_the_closest_language_comes_first(publish_texts):
    cluster = Cluster.objects.default()
    publish_texts(subject="any", text="x")
    publish_texts(language="de", subject="de", text="x")
    publish_texts(language="de-at", subject="de-at", text="x")
    for language, expected in {"de-at": "de-at", "de-ch": "de", "de": "de", "fr": "any", "": "any"}.items():
        settings = UserSettingsFactory(language=language, cluster=cluster)
        assert deliver(user=settings.user).subject == expected


def test_a_template_file_in_a_closer_language_comes_first(publish_texts, settings, tmp_path):
    folder = tmp_path / "notifications" / "order_shipped"
    folder.mkdir(parents=True)
    (folder / "email.de.subject.txt").write_text("Datei")
    (folder / "email.de.txt").write_text("Datei")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    publish_texts(subject="Staff", text="x")
    reader = UserSettingsFactory(language="de", cluster=Cluster.objects.default()).user
    assert deliver(user=reader).subject == "Datei"
    publish_texts(language="de", subject="Personal", text="x")
    assert deliver(user=reader).subject == "Personal"


def test_the_template_of_a_cluster_comes_before_that_of_all(publish_texts):
    user, cluster = UserFactory(), ClusterFactory()
    cluster.members.add(user)
    publish_texts(subject="for all", text="x")
    assert deliver(user=user, cluster=cluster).subject == "for all"
    publish_texts(cluster=cluster, subject="for the cluster", text="x")
    assert deliver(user=user, cluster=cluster).subject == "for the cluster"
    assert deliver(user=user).subject == "for all"


def test_a_critical_message_uses_the_template_of_message(publish_texts):
    publish_texts(event="message", subject="Staff: {{ title }}", text="{{ message }}")
    message = deliver(event="critical_message", context={"message": "Fire!", "title": "Alarm"})
    assert message.subject == "Staff: Alarm"


def test_the_next_mail_of_a_running_worker_uses_what_was_published_or_rolled_back(make_version, monkeypatch):
    monkeypatch.setattr(published, "CHECK_INTERVAL", 3600.0)
    worker = Dispatcher()

    def subject_of_next_mail():
        send()
        worker.run_until_idle()
        return mail.outbox[-1].subject

    original = subject_of_next_mail()
    first, second = make_version(subject="First", text="x"), make_version(subject="Second", text="x")
    publish(first)
    published.forget_published()  # a first template is found after a second
    assert subject_of_next_mail() == "First"
    publish(second)
    assert subject_of_next_mail() == "Second"
    publish(first)
    assert subject_of_next_mail() == "First"
    unpublish(first.template)
    assert subject_of_next_mail() == original


def test_a_message_whose_template_fails_is_a_dead_letter(make_version):
    publish_unchecked(make_version(subject="x", text="{{ 1 / (order_number | int) }}"))
    assert deliver(context={"order_number": "0", "eta": None}) is None
    delivery = Delivery.objects.get(channel="email")
    assert (delivery.state, delivery.reason) == (DeliveryState.DEAD, "rendering")
    error = NotificationLog.objects.get(delivery=delivery).error_message
    assert error == "TemplateFault: txt, line 1: ZeroDivisionError: division by zero"


def test_only_the_messages_of_a_group_that_fail_are_dead_letters(make_version):
    publish_unchecked(make_version(subject="x", text="{{ 1 / (order_number | int) }}"))
    for number in "10203":
        send(context={"order_number": number, "eta": None})
    Dispatcher().run_until_idle()
    states = Delivery.objects.filter(channel="email").order_by("pk").values_list("state", flat=True)
    assert list(states) == ["sent", "dead", "sent", "dead", "sent"]


def test_a_critical_event_is_sent_with_its_template_file_if_the_template_fails(make_version, caplog):
    publish_unchecked(make_version(event="store_on_fire", subject="{{ 1 / 0 }}", text="x"))
    message = deliver(event=ShopEvents.STORE_ON_FIRE, context={"place": "Hall 3"})
    assert "Hall 3" in message.subject + message.body
    assert "critical event 'store_on_fire' is sent with its template file" in caplog.text


@pytest.fixture
def impatient(monkeypatch):
    """Templates are stopped soon, and the messages after them are tried again at once."""
    monkeypatch.setattr("notifications.staff_templates.cage.process.CPU_SECONDS", 0.2)
    monkeypatch.setattr("notifications.staff_templates.cage.pool.TURN_SECONDS", 0.0)
    monkeypatch.setattr("notifications.staff_templates.stopping.SHARE", float("inf"))


def test_a_template_that_was_stopped_with_three_messages_is_not_used_until_another_is_published(
    make_version, caplog, impatient
):
    hostile = make_version(subject="x", text=LOOP)
    publish_unchecked(hostile)
    for _ in range(5):
        send()
    with caplog.at_level(logging.ERROR, "notifications.staff_templates"):
        Dispatcher().run_until_idle()
    hostile.refresh_from_db()
    assert hostile.fault == "It took too long. This happened with 3 messages."
    assert caplog.text.count(f"template {hostile.template_id} was stopped") == 3
    assert set(Delivery.objects.filter(channel="email").values_list("state", flat=True)) == {"dead"}
    # Other processes learn it from the table, and do not try.
    assert deliver() is None
    error = NotificationLog.objects.filter(delivery__channel="email").latest("pk").error_message
    assert error == "TemplateFault: Stopped: It took too long. This happened with 3 messages."
    with pytest.raises(PublishRefused, match="Workers had to stop version 1: It took too long"):
        publish(hostile)
    publish(make_version(subject="Good", text="x"))
    assert deliver().subject == "Good"


def test_a_message_with_which_a_template_hangs_is_the_only_dead_letter(make_version, impatient):
    publish_unchecked(make_version(subject="x", text="{% if order_number == '1' %}" + LOOP + "{% endif %}x"))
    for number in "01234":
        send(context={"order_number": number, "eta": None})
    Dispatcher().run_until_idle()
    states = Delivery.objects.filter(channel="email").order_by("pk").values_list("state", flat=True)
    assert list(states) == ["sent", "dead", "sent", "sent", "sent"]
    assert StaffTemplateVersion.objects.get().fault == ""


def test_a_critical_message_does_not_wait_for_a_template_that_hangs(make_version, impatient):
    publish_unchecked(make_version(event="message", subject="x", text=LOOP))
    publish_unchecked(make_version(event="store_on_fire", subject="Fire in {{ place }}", text="Run."))
    send(event="message", context={"message": "x", "title": "x"})
    send(event=ShopEvents.STORE_ON_FIRE, context={"place": "Hall 3"})
    Dispatcher().run_batch()
    assert "Fire in Hall 3" in [message.subject for message in mail.outbox]


def test_after_a_stop_only_templates_that_are_known_to_be_quick_are_rendered(make_version, publish_texts):
    publish_texts(event="message", subject="{{ title }}", text="{{ message }}")
    publish_texts(event="store_on_fire", subject="Fire in {{ place }}", text="x")
    note = {"event": "message", "context": {"message": "x", "title": "Quick"}}
    assert deliver(**note).subject == "Quick"
    publish_unchecked(make_version(subject="x", text=LOOP))
    assert deliver() is None
    assert deliver() is None
    waiting = Delivery.objects.get(channel="email", state=DeliveryState.HELD)
    assert waiting.reason == "rendering"
    assert waiting.due_at > clock.now("default") + timedelta(seconds=10)
    assert deliver(**note).subject == "Quick"
    # A CRITICAL message does not wait to see how long its template takes.
    assert deliver(event=ShopEvents.STORE_ON_FIRE, context={"place": "Hall 3"}).subject == "Fire in Hall 3"


def test_a_template_that_is_slow_on_average_is_not_used_again(publish_texts):
    version = publish_texts(subject="x", text="x")
    template = published.PublishedTemplate(version.template_id, version.pk, "")
    for _ in range(9):
        record_seconds(template, 0.3, "default")
        record_seconds(template, 0.01, "default")
    version.refresh_from_db()
    assert version.fault == ""
    for _ in range(9):
        record_seconds(template, 0.3, "default")
    version.refresh_from_db()
    expected = "Its messages take more than 0.05 s of CPU time on average, the last one 0.30 s."
    assert version.fault == expected
    assert deliver() is None


def test_deliveries_wait_while_the_cage_cannot_be_used(publish_texts, monkeypatch, caplog):
    publish_texts(subject="Staff", text="x")
    for _ in range(3):
        send()
    with monkeypatch.context() as patched:
        patched.setattr(Cage, "render", refuse_to_render)
        Dispatcher().run_until_idle()
    held = Delivery.objects.filter(channel="email", state=DeliveryState.HELD, reason="rendering", attempts=0)
    assert held.count() == 3
    assert mail.outbox == []
    assert "3 deliveries cannot be rendered at present. They wait: No process can be started." in caplog.text
    held.update(due_at=Now())
    Dispatcher().run_until_idle()
    assert [message.subject for message in mail.outbox] == ["Staff"] * 3


def test_a_critical_message_does_not_wait_for_the_cage(publish_texts, monkeypatch):
    publish_texts(event="store_on_fire", subject="Staff", text="{{ place }}")
    monkeypatch.setattr(Cage, "render", refuse_to_render)
    message = deliver(event=ShopEvents.STORE_ON_FIRE, context={"place": "Hall 3"})
    assert "Hall 3" in message.subject + message.body


def refuse_to_render(self, jobs):
    raise RenderingUnavailable("No process can be started.")


def test_versions_with_different_texts_have_different_keys_in_the_cage():
    texts = {"subject": "x", "html": "", "text": "a", "short": ""}
    one, other = (build_source({**texts, "text": text}, ["txt"], derives_text=False) for text in "ab")
    assert one.key != other.key


def test_no_statement_is_added_while_nothing_is_published(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(published, "CHECK_INTERVAL", 3600.0)
    store = published.get_published("default")
    store.refresh()
    with django_assert_num_queries(0):
        assert store.refresh() is False


def test_a_group_reads_by_one_statement_what_is_published(publish_texts, monkeypatch):
    publish_texts(subject="{{ order_number }}", text="x")
    deliver()
    monkeypatch.setattr(published, "CHECK_INTERVAL", 3600.0)
    counts = []
    for size in (2, 8):
        for _ in range(size):
            send(channels=["email"])
        dispatcher = Dispatcher(batch_size=100)
        with CaptureQueriesContext(connection) as queries:
            dispatcher.run_batch()
        counts.append(sum("stafftemplate" in query["sql"] for query in queries))
    assert counts == [1, 1]


def test_a_deleted_template_is_not_used(publish_texts):
    publish_texts(subject="Staff", text="x")
    assert deliver().subject == "Staff"
    StaffTemplate.objects.all().delete()
    assert deliver().subject != "Staff"
