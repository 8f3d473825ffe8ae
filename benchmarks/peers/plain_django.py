"""Django alone: one open connection, and all mails in one call."""

import django
from django.core.mail import get_connection


def main() -> None:
    django.setup()
    # Models, which may be imported only now.
    from benchmarks.peers.mails import mails

    built = mails()
    connection = get_connection()
    connection.open()
    connection.send_messages(built)
    connection.close()


if __name__ == "__main__":
    main()
