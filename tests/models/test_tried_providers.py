"""The providers that have failed with a delivery."""

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from notifications.models import Delivery
from tests.delivering.scripted import get_delivery, refuse_orders

pytestmark = pytest.mark.django_db
MIGRATION = import_module("notifications.migrations.0008_digest_kind_and_tried_providers")
SCHEMA_EDITOR = SimpleNamespace(connection=connection)


def test_names_that_were_joined_in_one_column_become_a_list():
    refuse_orders()
    Delivery.objects.update(state="retry", reason="failed_over", provider="first, second")
    MIGRATION.split_tried_providers(apps, SCHEMA_EDITOR)
    delivery = get_delivery()
    assert (delivery.provider, delivery.list_tried_providers()) == ("second", ["first", "second"])
    MIGRATION.join_tried_providers(apps, SCHEMA_EDITOR)
    assert get_delivery().provider == "first, second"


def test_the_provider_of_a_sent_delivery_is_unchanged():
    refuse_orders()
    Delivery.objects.update(state="sent", provider="smtp")
    MIGRATION.split_tried_providers(apps, SCHEMA_EDITOR)
    assert (get_delivery().provider, get_delivery().list_tried_providers()) == ("smtp", [])
