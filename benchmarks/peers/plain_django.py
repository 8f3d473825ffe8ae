"""Send all mails with Django, in one call over one connection."""

import django
from django.core.mail import get_connection


def main() -> None:
    django.setup()
    # This imports models, which is possible only now.
    from benchmarks.peers.mails import build_mails

    mails = build_mails()
    connection = get_connection()
    connection.open()
    connection.send_messages(mails)
    connection.close()


if __name__ == "__main__":
    main()
