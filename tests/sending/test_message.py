"""``send_notification()``: free text."""

from datetime import time

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ImproperlyConfigured

from notifications.events import NotificationPriority
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Notification
from notifications.outcomes import Reason
from notifications.recipients import Members
from notifications.testing import capture_notifications
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory


def admins_of(cluster):
    return cluster.members.filter(is_staff=True)


def nobody_of(cluster):
    return None


class TestSendNotification:
    def test_a_text_can_be_sent_to_all_members(self, db, settings):
        members = UserFactory.create_batch(2)
        cluster = ClusterFactory(members=members)
        UserFactory()
        result = NotificationManager.send_notification(
            "The lift is out of order.", cluster=cluster, recipients=Members(cluster)
        )
        assert set(Delivery.objects.values_list("recipient_id", flat=True)) == {user.pk for user in members}
        assert set(Delivery.objects.values_list("channel", flat=True)) == {"app", "email", "log"}
        values = Notification.objects.get(pk=result.notification_id).values
        assert values == {"message": "The lift is out of order.", "title": None}

    def test_a_text_without_recipients_is_an_error_without_the_setting(self, user):
        with pytest.raises(InvalidOption, match=r"MESSAGE_RECIPIENTS'\] is not set.*Members\(cluster\)"):
            NotificationManager.send_notification("hi")
        assert not Notification.objects.exists()

    def test_a_text_without_recipients_is_sent_to_the_group_of_the_setting(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": "Dr. Green's team"}
        Group.objects.create(name="Dr. Green's team").user_set.add(user)
        UserFactory()
        result = NotificationManager.send_notification("hi", channels=["app"])
        assert [outcome.recipient_key for outcome in result.outcomes()] == [f"u:{user.pk}"]

    def test_the_error_names_a_group_that_does_not_exist(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": "Operators"}
        with pytest.raises(InvalidOption, match="no group named 'Operators'.*MESSAGE_RECIPIENTS"):
            NotificationManager.send_notification("hi")

    def test_a_text_without_recipients_is_sent_to_those_of_the_callable_of_the_setting(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.admins_of"}
        admin = UserFactory(is_staff=True)
        cluster = ClusterFactory(members=[user, admin])
        result = NotificationManager.send_notification("hi", channels=["app"], cluster=cluster)
        assert [outcome.recipient_key for outcome in result.outcomes()] == [f"u:{admin.pk}"]

    def test_the_error_names_a_callable_that_returns_none_or_does_not_exist(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.nobody_of"}
        with pytest.raises(InvalidOption, match="nobody_of.*returned None"):
            NotificationManager.send_notification("hi")
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.missing"}
        with pytest.raises(ImproperlyConfigured, match="MESSAGE_RECIPIENTS.*missing"):
            NotificationManager.send_notification("hi")

    def test_level_channels_title_and_recipients_apply(self, user):
        UserFactory()
        NotificationManager.send_notification(
            "Hello", "warning", ["email"], title="Greeting", recipients=[user], topic="lift"
        )
        delivery = Delivery.objects.get()
        assert (delivery.channel, delivery.recipient, delivery.notification.priority) == ("email", user, 2)
        assert delivery.notification.topic == "lift"

    @pytest.mark.parametrize("how", [{"level": "critical"}, {"priority": NotificationPriority.CRITICAL}])
    def test_a_critical_text_ignores_opt_outs_and_quiet_hours(self, user, how):
        UserSettingsFactory(
            user=user,
            cluster=Cluster.objects.default(),
            channels={"email": False},
            quiet_from=time(0),
            quiet_until=time(23, 59),
        )
        result = NotificationManager.send_notification("Fire!", channels=["email"], recipients=user, **how)
        assert (result.queued, result.held, result.dropped) == (1, 0, 0)
        notification = Notification.objects.get(pk=result.notification_id)
        assert (notification.event, notification.priority) == ("critical_message", NotificationPriority.CRITICAL)

    @pytest.mark.parametrize("level", ["critical", "warning"])
    def test_no_level_makes_the_ordinary_event_ignore_an_opt_out(self, user, level):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False})
        result = NotificationManager.send("message", user, None, {"message": "Sale!"}, level=level, channels=["email"])
        assert result.reasons == {Reason.PREFERENCE: 1}

    def test_a_critical_text_requires_the_permission_of_the_setting(self, user, settings):
        settings.NOTIFICATIONS = {"CRITICAL_MESSAGE_PERMISSION": "auth.change_user"}
        actor = UserFactory()
        for unfit in (None, actor):
            with pytest.raises(NotPermitted, match=r"auth\.change_user"):
                NotificationManager.send_notification("Fire!", "critical", recipients=user, actor=unfit)
        actor.user_permissions.add(Permission.objects.get(codename="change_user"))
        actor = User.objects.get(pk=actor.pk)
        assert NotificationManager.send_notification("Fire!", "critical", recipients=user, actor=actor)
        assert NotificationManager.send_notification("Coffee is ready.", recipients=user)

    @pytest.mark.parametrize("level", ["info", "critical"])
    def test_both_events_use_the_same_templates(self, user, mailoutbox, level):
        with capture_notifications() as captured:
            NotificationManager.send_notification("Hello", level, ["email"], title="Greeting", recipients=user)
        captured.deliver()
        [mail] = mailoutbox
        assert (mail.subject, mail.body.partition("\n-- \n")[0].strip()) == ("Greeting", "Hello")

    def test_a_critical_text_uses_the_sites_own_templates_for_texts_too(self, user, mailoutbox, settings):
        folder = "notifications/message/email"
        files = {f"{folder}.html": "<p>{{ message }}</p>", f"{folder}.de.subject.txt": "Achtung: {{ message }}"}
        files["notifications/critical_message/email.txt"] = "Now: {{ message }}"
        loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
        settings.TEMPLATES = [
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
        ]
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="de")
        with capture_notifications() as captured:
            NotificationManager.send_notification("Feuer!", "critical", ["email"], recipients=user)
        captured.deliver()
        [mail] = mailoutbox
        assert (mail.subject, mail.body) == ("Achtung: Feuer!", "Now: Feuer!\n")
        assert "<p>Feuer!</p>" in mail.alternatives[0].content

    def test_the_subject_is_short_and_the_body_complete(self, user, mailoutbox):
        with capture_notifications() as captured:
            NotificationManager.send_notification("word <b> & " * 40, channels=["email"], recipients=user)
        captured.deliver()
        [mail] = mailoutbox
        assert len(mail.subject) <= 80
        assert "<b> &" in mail.subject
        assert mail.body.count("word") == 40
