"""Database routers of hosts with replicas."""

from django.contrib.sessions.models import Session

from notifications.manager import NotificationManager
from tests.shop.notification_events import ShopEvents

ORDER = {"order_number": "7", "eta": None}
DECIDING = ("klaxon", "auth")


class RefusingRouter:
    """A router that refuses reads of deciding models from any database but the primary one."""

    def db_for_read(self, model, **hints):
        if model._meta.app_label in DECIDING:
            raise AssertionError(f"{model.__name__} was to be read from a replica.")

    def db_for_write(self, model, **hints):
        return "default"


class ReplicaRouter:
    """A router that reads everything from the replica."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True


class ReadOnlyReplicaRouter(ReplicaRouter):
    """A router without db_for_write(), as many are."""

    def db_for_write(self, model, **hints):
        return None


class SessionRouter:
    """A router whose sessions are in another database and only read."""

    def db_for_read(self, model, **hints):
        return "replica" if model is Session else None

    def db_for_write(self, model, **hints):
        return None


class GuardedSessionRouter(SessionRouter):
    def db_for_write(self, model, **hints):
        if model is Session:
            raise RuntimeError("Sessions are read-only.")


def send(recipients, cluster=None, **options):
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, recipients, cluster, ORDER, **options)
