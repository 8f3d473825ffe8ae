"""Sensitive events: their declaration, what ``send()`` refuses, and what each channel gets."""

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.admin.template_forms import TemplateForm
from notifications.attachments import Attachment
from notifications.channels.base import Rendered
from notifications.checks import run_checks
from notifications.context import Fields
from notifications.core import extras
from notifications.delivering.rendering import render_notification, replacements
from notifications.exceptions import (
    ContentIsSensitive,
    EncryptionUnavailable,
    IdempotencyConflict,
    InvalidOption,
    MissingExtra,
)
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Reason
from notifications.recipients import Address
from tests.factories import UserFactory
from tests.sensitive.conftest import CODE, CONTEXT, LabEvents, make_event, make_key

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db]


def send(*recipients, context=CONTEXT, **options):
    return NotificationManager.send(LabEvents.RESULT, recipients, context=context, **options)


def dispatch():
    call_command("dispatch_notifications")


class TestDeclaration:
    def test_nothing_of_its_context_can_be_logged(self):
        with pytest.raises(ValueError, match="'test_result' is sensitive, so no values .* Remove loggable"):
            make_event(loggable=["code"])

    def test_it_is_true_or_false(self):
        with pytest.raises(TypeError, match="sensitive of event 'test_result' must be True or False, not 'yes'"):
            make_event(sensitive="yes")


class TestRefusals:
    def test_without_a_key_the_send_is_refused_with_a_sentence(self, declare, templates, use_keys, reader):
        use_keys()
        with pytest.raises(EncryptionUnavailable, match=r"NOTIFICATIONS\['ENCRYPTION_KEYS'\] is empty.*Add a key"):
            send(reader)
        assert not Notification.objects.exists()

    @pytest.mark.parametrize("change", ["CRITICAL", "log"])
    def test_nothing_makes_it_send_without_a_key(self, declare, templates, use_keys, reader, change):
        from notifications.events import NotificationPriority

        use_keys(ON_BAD_CALL="log" if change == "log" else "raise")
        if change == "CRITICAL":
            declare(priority=NotificationPriority.CRITICAL)
        with pytest.raises(EncryptionUnavailable):
            send(reader)

    def test_without_the_extra_the_send_is_refused(self, site, reader, monkeypatch):
        from notifications.core import encryption

        def refuse(module):
            raise MissingExtra("cryptography", "encryption")

        encryption._make_fernets.cache_clear()
        monkeypatch.setattr(extras, "import_optional", refuse)
        with pytest.raises(MissingExtra, match=r"pip install 'django-klaxon\[encryption\]'"):
            send(reader)

    def test_attachments_are_refused(self, site, reader):
        with pytest.raises(
            InvalidOption, match="'test_result' is sensitive, so it cannot have attachments. Put a link"
        ):
            send(reader, attachments=[Attachment("result.pdf", b"%PDF")])

    def test_people_without_an_account_cannot_read_it(self, site):
        result = send(Address(email="ann@example.org"))
        assert (result.queued, result.refused) == (0, True)
        assert result.reasons == {Reason.NO_ADDRESS: 3} or set(result.reasons) == {Reason.NO_ADDRESS}
        explanation = str(
            NotificationManager.explain(LabEvents.RESULT, Address(email="ann@example.org"), context=CONTEXT)
        )
        assert "only accounts can read it: the call would have to name a user" in explanation

    def test_the_same_key_with_other_content_is_a_conflict(self, site, reader):
        send(reader, idempotency_key="1")
        assert send(reader, idempotency_key="1").duplicate
        with pytest.raises(IdempotencyConflict):
            send(reader, context={**CONTEXT, "code": "other"}, idempotency_key="1")

    def test_duplicates_are_found(self, site, declare, reader):
        declare(dedup_window=60, dedup_keys=["code"])
        assert send(reader).queued == 3
        assert send(reader).reasons == {Reason.DUPLICATE: 3}
        assert send(reader, context={**CONTEXT, "code": "other"}).queued == 3


class TestChannels:
    def test_an_email_has_only_a_link(self, site, reader):
        send(reader, channels=["email"])
        dispatch()
        [message] = mail.outbox
        link = f"https://shop.example.com/notifications/sensitive/{Notification.objects.get().pk}/"
        assert message.subject == "Test result: a message for you"
        assert link in message.body
        assert CODE not in message.message().as_string()

    def test_the_log_channel_has_only_a_link(self, site, reader, caplog):
        caplog.set_level("INFO")
        send(reader, channels=["log"])
        dispatch()
        assert "/notifications/sensitive/" in caplog.text

    def test_a_site_can_write_its_own_text_with_the_link(self, site, templates, reader):
        templates["notifications/test_result/link/email.txt"] = (
            "{{ label }} of {{ recipient }}{{ code }}: {{ action_url }}"
        )
        send(reader, channels=["email"])
        dispatch()
        assert mail.outbox[0].body.startswith(f"Test result of {reader}: https://shop.example.com/")

    def test_the_text_is_in_the_language_of_the_recipient(self, site, declare, reader):
        from django.utils.translation import gettext_lazy

        from notifications.models import Cluster, UserSettings

        declare(label=gettext_lazy("Monday"))
        UserSettings.objects.create(user=reader, cluster=Cluster.objects.default(), language="de")
        send(reader, channels=["email"])
        dispatch()
        assert "Montag" in mail.outbox[0].subject

    def test_code_that_does_not_know_of_sensitive_events_cannot_render_one(self, site, reader):
        send(reader)
        parts, notification = (["subject.txt", "txt"], []), Notification.objects.get()
        with pytest.raises(ContentIsSensitive, match="only its recipient may see its content"):
            render_notification(notification, make_event(), "email", parts, reader, ("en", "UTC"))

    def test_no_feature_can_replace_the_text(self, site, reader, monkeypatch):
        seen = []

        def reveal(channel, items, using):
            seen.extend(items)
            return {item.delivery.pk: Rendered({"subject.txt": CODE, "txt": CODE}) for item in items}

        monkeypatch.setattr(replacements, "_replacements", [reveal])
        send(reader, channels=["email"])
        dispatch()
        assert CODE not in mail.outbox[0].message().as_string()
        assert seen == []

    def test_staff_cannot_edit_its_templates(self, site):
        names = [name for name, _label in TemplateForm().fields["event"].choices]
        assert "message" in names
        assert "test_result" not in names

    def test_an_email_needs_no_key_to_be_sent(self, site, use_keys, reader):
        send(reader, channels=["email"])
        use_keys(make_key())
        dispatch()
        assert Delivery.objects.get().state == DeliveryState.SENT

    def test_content_that_cannot_be_decrypted_is_dead_and_says_why(self, site, use_keys, key, reader):
        send(reader, channels=["app"])
        use_keys(make_key())
        dispatch()
        row, log = Delivery.objects.get(), NotificationLog.objects.get()
        assert (row.state, row.reason) == (DeliveryState.DEAD, Reason.RENDERING)
        assert "which NOTIFICATIONS['ENCRYPTION_KEYS'] does not contain. Add that key" in log.error_message
        use_keys(make_key(), key)
        call_command("replay_dead_letters")
        dispatch()
        row.refresh_from_db()
        assert row.state == DeliveryState.SENT

    def test_without_an_address_of_the_site_no_broken_link_is_sent(self, site, use_keys, key, reader):
        use_keys(key, BASE_URL="")
        send(reader, channels=["email"])
        call_command("dispatch_notifications", skip_checks=True)
        assert mail.outbox == []
        assert "Set NOTIFICATIONS['BASE_URL']" in NotificationLog.objects.get().error_message

    def test_content_stays_secret_if_the_event_is_no_longer_sensitive(self, site, declare, reader):
        send(reader, channels=["email"])
        declare(sensitive=False)
        dispatch()
        assert CODE not in mail.outbox[0].message().as_string()

    def test_content_stays_secret_if_the_event_becomes_sensitive_after_the_send(self, site, declare, reader):
        declare(sensitive=False)
        send(reader, channels=["email"])
        declare()
        dispatch()
        assert CODE not in mail.outbox[0].message().as_string()

    def test_attachments_are_not_sent_if_the_event_becomes_sensitive_after_the_send(self, site, declare, reader):
        declare(sensitive=False)
        send(reader, channels=["email"], attachments=[Attachment("result.txt", CODE.encode())])
        declare()
        dispatch()
        assert mail.outbox[0].attachments == []
        assert "/notifications/sensitive/" in mail.outbox[0].body

    def test_typed_values_survive_encryption(self, site, declare, templates, reader):
        from datetime import date
        from decimal import Decimal

        declare(context={"code": str, "patient": Fields("username"), "at": date, "price": Decimal})
        values = {"code": CODE, "patient": reader, "at": date(2026, 11, 20), "price": Decimal("1.50")}
        send(reader, context=values)
        stored = Notification.objects.get()
        assert list(stored.context) == ["$encrypted"]
        assert stored.values == {**values, "patient": {"username": reader.username}}


class TestChecks:
    def find(self, *ids):
        return [message for message in run_checks(None) if message.id in {f"klaxon.{id}" for id in ids}]

    def test_a_site_that_is_ready_has_no_messages(self, site):
        assert self.find("E001", "E005", "E022", "E023") == []

    def test_a_missing_key_is_an_error(self, declare, templates, use_keys):
        use_keys()
        [error] = self.find("E022")
        assert "'test_result' cannot be sent: NOTIFICATIONS['ENCRYPTION_KEYS'] is empty" in error.msg
        assert "Fernet.generate_key()" in error.hint

    def test_a_missing_address_of_the_site_is_an_error(self, site, use_keys, key):
        use_keys(key, BASE_URL="")
        [error] = self.find("E023")
        assert error.hint == "Set NOTIFICATIONS['BASE_URL']."

    def test_a_missing_page_is_an_error(self, site, settings):
        settings.ROOT_URLCONF = "tests.sensitive.test_sending"
        [error] = self.find("E023")
        assert error.hint.startswith("Include notifications.urls in your URLs")

    def test_a_site_without_urls_has_no_page(self, site, settings):
        del settings.ROOT_URLCONF
        [error] = self.find("E023")
        assert error.hint.startswith("Include notifications.urls in your URLs")

    def test_a_missing_extra_is_an_error(self, site, monkeypatch):
        monkeypatch.setattr(extras, "is_installed", lambda module: module != "cryptography")
        [error] = self.find("E005")
        assert error.hint == "Install it with: pip install 'django-klaxon[encryption]'"

    @pytest.mark.parametrize("keys", [["too short"], ["ä" * 44], "text", [b"bytes"], [1]])
    def test_an_invalid_key_is_an_error_that_does_not_show_it(self, use_keys, settings, keys):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENCRYPTION_KEYS": keys}
        [error] = self.find("E001")
        assert error.msg == "NOTIFICATIONS['ENCRYPTION_KEYS'] is not valid."


urlpatterns = []


def test_keys_are_never_shown(key):
    from notifications import conf

    assert key not in repr(conf.current())


def test_keys_are_read_from_the_environment():
    environ = pytest.importorskip("environ")
    from notifications import conf

    env = environ.Env()
    keys = [make_key(), make_key()]
    env.ENVIRON = {"NOTIFICATIONS_ENCRYPTION_KEYS": ",".join(keys)}
    assert conf.from_env(env) == {"ENCRYPTION_KEYS": keys}


def test_a_send_takes_as_many_queries_as_that_of_another_event(site, declare):
    users = [UserFactory() for _ in range(20)]
    send(*users)
    with CaptureQueriesContext(connection) as sensitive:
        assert send(*users).queued == 60
    declare(sensitive=False)
    with CaptureQueriesContext(connection) as ordinary:
        assert send(*users).queued == 60
    assert len(sensitive) == len(ordinary)
