import json
import re
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Cluster, UserSettings
from notifications.preference_centre.cells import Place
from notifications.preference_centre.owner import Owner, load_standing
from notifications.preference_centre.page import Page
from notifications.unsubscribe.links import LinkTarget, make_token
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

ORDER = {"order_number": "1017", "eta": None}
PREFERENCES = "/notifications/preferences/"


@pytest.fixture
def ann(db):
    return UserFactory(username="ann")


@pytest.fixture
def cluster(db):
    return Cluster.objects.default()


@pytest.fixture
def browser(ann):
    """A browser in which Ann is signed in."""
    client = Client()
    client.force_login(ann)
    return client


@pytest.fixture
def anonymous():
    """A browser without a session, on a site that checks for forged requests."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def link(ann, cluster):
    """The path of the link to the preferences in an email about an order of Ann."""
    token = make_token(LinkTarget(str(ann.pk), str(cluster.pk), 7, "order_shipped", "email"))
    return make_path("preferences-link", token)


def send(user, event=ShopEvents.ORDER_SHIPPED, context=ORDER, **options):
    """Send a notification by email, and return the email. None if nothing arrives."""
    NotificationManager.send(event, [user], None, context, **{"channels": ["email"], **options})
    return work()


def work():
    before = len(mail.outbox)
    Dispatcher().run_until_idle()
    return mail.outbox[-1] if len(mail.outbox) > before else None


def find_link(message):
    """Return the path of the link to the preferences in the HTML of an email."""
    [html] = [part.content for part in message.alternatives]
    return urlsplit(re.search(r'https://shop\.example\.com/notifications/preferences/link/[^"\s]+', html)[0]).path


def choose(browser, path=PREFERENCES, do="save", shown=None, **choices):
    """Send the form of the matrix. ``events__email__order_shipped="off"`` is the name of a field with points."""
    fields = {name.replace("__", "."): value for name, value in choices.items()}
    data = {"section": "choices", "do": do, "shown": json.dumps(shown or {}), **fields}
    return browser.post(path, data)


def put_schedule(browser, path=PREFERENCES, do="save", **values):
    """Send the form of the hours, as a browser does that shows no windows."""
    defaults = {"digest": "none", "digest_hour": "8", "digest_day": "0"}
    return browser.post(path, {"section": "schedule", "do": do, **defaults, **values})


def find_settings(user):
    return UserSettings.objects.get(user=user)


def find_cells(user, cluster, channels=None):
    """Return the cells with a choice, by column, key and channel, and those of locked events by their label."""
    owner = Owner.signed_in(user, cluster)
    if channels:
        owner = Owner(user, cluster, tuple(channels))
    matrix = Page(owner).matrix
    return {
        cell.place or Place("locked", row.label, cell.channel): cell
        for part in matrix.parts
        for row in part.rows
        for cell in row.cells
        if cell.is_supported
    }


def find_standing(user, cluster):
    return load_standing(Owner.signed_in(user, cluster))


def make_path(name, *args):
    return reverse(f"notifications:{name}", args=args)
