"""A browser whose user signs out gets no messages any more, because the next person there may be another one."""

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.db import router

from notifications.models import PushSubscription

SESSION_KEY = "notifications.push"
"""The key of the session under which the primary key of the browser's subscription is."""


def connect() -> None:
    user_logged_out.connect(delete_subscription, dispatch_uid="klaxon.push")


def delete_subscription(request: Any, user: Any, **kwargs: Any) -> None:
    key = request.session.get(SESSION_KEY) if user is not None and hasattr(request, "session") else None
    if key is not None:
        PushSubscription.objects.using(router.db_for_write(PushSubscription)).of(user).filter(pk=key).delete()
