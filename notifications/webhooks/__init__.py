"""Webhook endpoints: the functions that pages, the admin and an API call to manage them."""

from notifications.webhooks.endpoints import (
    CreatedEndpoint,
    create_endpoint,
    delete_endpoint,
    has_webhooks,
    list_events,
    rotate_secret,
    set_enabled,
    update_endpoint,
)
from notifications.webhooks.resending import list_attempts, replay_failed, send_again, send_test_message

__all__ = [
    "CreatedEndpoint",
    "create_endpoint",
    "delete_endpoint",
    "has_webhooks",
    "list_attempts",
    "list_events",
    "replay_failed",
    "rotate_secret",
    "send_again",
    "send_test_message",
    "set_enabled",
    "update_endpoint",
]
