"""Migrate an empty database, and print the cookie of a user with an item: ``python -m tests.live_site.prepare``."""

import django


def main():
    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command
    from django.utils import timezone

    from notifications.models import InboxItem
    from tests.tenant_site.estates.models import Estate, Resident

    call_command("migrate", verbosity=0)
    home = Estate.objects.create(name="Home")
    user = Resident.objects.create(email_address="a@example.com", estate=home)
    InboxItem.objects.add_items(
        [InboxItem(recipient=user, cluster=home, event="message", priority=3, title="Hello", created_at=timezone.now())]
    )
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.AllowAllUsersModelBackend"
    session.create()
    print(session.session_key)


if __name__ == "__main__":
    main()
