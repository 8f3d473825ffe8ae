"""Dead letters: select by time, event, channel and cluster, then replay or purge."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from notifications import signals
from notifications.core.clock import now
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def make_dead_letter(event=ShopEvents.NEWSLETTER, cluster=None, context=None, days_ago=0, channels=None):
    user = UserFactory()
    if cluster:
        cluster.members.add(user)
    result = NotificationManager.send(event, user, cluster, context, channels=channels)
    letters = Delivery.objects.filter(notification_id=result.notification_id)
    letters.update(state="dead", attempts=4, settled_at=now() - timedelta(days=days_ago))
    return letters.get()


@pytest.fixture
def run(capsys):
    def run(command, *arguments):
        call_command(command, *arguments)
        return capsys.readouterr().out

    return run


def states():
    return sorted(Delivery.objects.values_list("state", flat=True))


def test_replay_opens_a_new_epoch_and_the_letter_arrives(run, django_capture_on_commit_callbacks):
    letter, queued_ids = make_dead_letter(), []
    receiver = lambda notification_ids, **kwargs: queued_ids.extend(notification_ids)  # noqa: E731
    signals.notifications_queued.connect(receiver)
    with django_capture_on_commit_callbacks(execute=True):
        assert "Queued 1 dead letter to be sent again." in run("replay_dead_letters")
    assert queued_ids == [letter.notification_id]
    letter.refresh_from_db()
    assert (letter.state, letter.epoch, letter.attempts) == ("ready", 1, 0)
    assert Dispatcher().run_until_idle() == {"sent": 1}
    row = NotificationLog.objects.get(kind="resent")
    assert (row.delivery_id, row.error_message) == (letter.pk, "replay_dead_letters")


def test_a_dry_run_prints_counts_and_changes_nothing(run):
    make_dead_letter()
    make_dead_letter()
    output = run("replay_dead_letters", "--dry-run")
    assert "2  shop_newsletter by email" in output
    assert "Would replay 2 dead letters." in output
    assert states() == ["dead", "dead"]


def test_only_dead_letters_are_touched(run):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    assert "Queued 0 dead letters" in run("replay_dead_letters")
    assert states() == ["ready"]


def test_letters_are_selected_by_time(run):
    old, young = make_dead_letter(days_ago=10), make_dead_letter(days_ago=1)
    day = (now() - timedelta(days=5)).date().isoformat()
    run("replay_dead_letters", "--from", day)
    young.refresh_from_db()
    assert young.state == "ready"
    run("replay_dead_letters", "--to", f"{day}T00:00")
    old.refresh_from_db()
    assert old.state == "ready"


def test_letters_are_selected_by_event_channel_and_cluster(run):
    cluster = ClusterFactory()
    theirs = make_dead_letter(cluster=cluster)
    app = make_dead_letter(ShopEvents.ORDER_SHIPPED, context={"order_number": "7"}, channels=["app"])
    other = make_dead_letter()
    run("replay_dead_letters", "--cluster", str(cluster.pk))
    run("replay_dead_letters", "--channel", "app")
    for letter, state in ((theirs, "ready"), (app, "ready"), (other, "dead")):
        letter.refresh_from_db()
        assert letter.state == state
    run("replay_dead_letters", "--event", "shop_newsletter")
    assert "dead" not in states()
    assert Cluster.objects.count() == 2


@pytest.mark.parametrize("wrong", ["yesterday", "2026-13-01", "25:00"])
def test_an_invalid_time_is_an_error_with_an_example(wrong):
    with pytest.raises(CommandError, match="--from must be a time such as"):
        call_command("replay_dead_letters", "--from", wrong)


COMMANDS = [["replay_dead_letters"], ["purge_dead_letters", "--days", "1"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--cluster", "abc", "--cluster: there is no cluster 'abc'."),
        ("--cluster", "", "--cluster: there is no cluster ''."),
        ("--cluster", "9" * 40, "--cluster: there is no cluster '9"),
        ("--cluster", "77", "--cluster: there is no cluster '77'."),
        ("--event", "shop_newsleter", "--event: there is no event 'shop_newsleter'. Did you mean 'shop_newsletter'?"),
        ("--channel", "pigeon", "--channel: there is no channel 'pigeon'. Known channels: app, email, log."),
    ],
)
def test_an_unknown_name_in_a_filter_is_an_error_in_one_sentence(command, option, value, sentence):
    with pytest.raises(CommandError) as error:
        call_command(*command, option, value)
    assert str(error.value).startswith(sentence)


def test_filters_ignore_case_and_accept_removed_names(run, settings):
    make_dead_letter()
    Delivery.objects.update(channel="pager")
    assert "Would replay 1 dead letter" in run("replay_dead_letters", "--event", "Shop_NEWSLETTER", "--dry-run")
    assert "Would replay 1 dead letter" in run("replay_dead_letters", "--channel", "Pager", "--dry-run")


def test_purging_deletes_old_letters_and_keeps_their_log(run):
    make_dead_letter(days_ago=31)
    kept = make_dead_letter(days_ago=29)
    NotificationLog.objects.create(
        kind="attempt", event="shop_newsletter", recipient_key="u:1", channel="email", sent_at=now()
    )
    assert "Would delete 1 dead letter." in run("purge_dead_letters", "--days", "30", "--dry-run")
    assert Delivery.objects.count() == 2
    assert "Deleted 1 dead letter." in run("purge_dead_letters", "--days", "30")
    assert list(Delivery.objects.all()) == [kept]
    assert NotificationLog.objects.count() == 1


def test_many_letters_are_processed_in_steps(run, monkeypatch):
    monkeypatch.setattr("notifications.management.dead_letters.STEP", 2)
    for _ in range(5):
        make_dead_letter()
    assert "Queued 5 dead letters" in run("replay_dead_letters")
