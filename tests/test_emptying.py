"""What a test has committed is gone before the next one."""

import threading

from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import TransactionTestCase

from notifications.manager import NotificationManager
from notifications.models import NotificationLog
from notifications.testing import capture_notifications
from tests import emptying
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents


class TestEmptying(TransactionTestCase):
    def test_all_rows_are_deleted_even_those_of_the_log(self):
        before = count_rows()
        with capture_notifications() as captured:
            NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
            captured.deliver()
        assert NotificationLog.objects.exists()
        emptying.empty(self)
        assert count_rows() == before
        assert {model for model, count in before.items() if count} == set(emptying.LASTING)

    def test_what_the_migrations_have_made_keeps_its_ids(self):
        before = emptying.read_lasting("default")
        emptying.empty(self)
        assert emptying.read_lasting("default") == before

    def test_what_a_test_has_changed_of_it_is_made_again(self):
        names = list_names()
        for change in (
            ContentType.objects.create(app_label="shop", model="nothing").save,
            Permission.objects.filter(codename="add_user").delete,
            lambda: Permission.objects.filter(codename="add_user").update(codename="renamed"),
        ):
            change()
            assert list_names() != names
            emptying.empty(self)
            assert list_names() == names

    def test_a_transaction_that_has_begun_is_waited_for(self):
        has_written, may_commit = threading.Event(), threading.Event()

        def write() -> None:
            with transaction.atomic():
                User.objects.create(username="late")
                has_written.set()
                may_commit.wait(10)
            connection.close()

        writer = threading.Thread(target=write)
        writer.start()
        assert has_written.wait(10)
        threading.Timer(0.2, may_commit.set).start()
        emptying.empty(self)
        writer.join()
        assert not User.objects.exists()


def count_rows() -> dict[type, int]:
    return {model: model._base_manager.count() for model in apps.get_models(include_auto_created=True)}


def list_names() -> list[tuple]:
    permissions = Permission.objects.values_list("content_type__app_label", "content_type__model", "codename")
    return [*sorted(permissions), *sorted(ContentType.objects.values_list("app_label", "model"))]
