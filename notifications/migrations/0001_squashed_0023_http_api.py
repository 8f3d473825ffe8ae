"""All tables; on PostgreSQL the triggers that refuse to change the log; and the full-text search of inbox items.

The triggers refuse to change or delete rows of the log outside of ``allow_log_changes()``. There is none on INSERT, so
that adding rows is not slower, and none on TRUNCATE, because ``flush`` uses it.

The search is a generated column on PostgreSQL, and an FTS5 table with triggers on SQLite. There, a later migration that
makes Django rebuild the table drops its triggers and must create them again.
"""

import sqlite3
import uuid

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import notifications.core.clock
import notifications.models.api_key
import notifications.models.webhook_endpoint
from django.conf import settings
from django.db import migrations, models, router

MODELS = ('NotificationLog', 'LogPersonal', 'PreferenceChange')

# The trigger calls the function only to refuse a statement.
FUNCTION = """
CREATE OR REPLACE FUNCTION klaxon_refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are added and never changed.', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege',
        HINT = 'To purge or erase rows, use notifications.models.allow_log_changes().';
END
$$
"""
TRIGGER = """
CREATE TRIGGER klaxon_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW
WHEN (coalesce(current_setting('klaxon.log_changes', true), '') = '')
EXECUTE FUNCTION klaxon_refuse_log_change()
"""


def get_tables(apps, schema_editor):
    """Return the quoted names of the tables in this database, or an empty list if it is not PostgreSQL."""
    connection = schema_editor.connection
    if connection.vendor != 'postgresql':
        return []
    models = [apps.get_model('klaxon', name) for name in MODELS]
    migrated = [model for model in models if router.allow_migrate_model(connection.alias, model)]
    return [schema_editor.quote_name(model._meta.db_table) for model in migrated]


def create_triggers(apps, schema_editor):
    tables = get_tables(apps, schema_editor)
    if tables:
        schema_editor.execute(FUNCTION, params=None)
    for table in tables:
        schema_editor.execute(TRIGGER.format(table=table), params=None)


def drop_triggers(apps, schema_editor):
    tables = get_tables(apps, schema_editor)
    for table in tables:
        schema_editor.execute(f'DROP TRIGGER IF EXISTS klaxon_append_only ON {table}', params=None)
    if tables:
        schema_editor.execute('DROP FUNCTION IF EXISTS klaxon_refuse_log_change()', params=None)


# Punctuation becomes spaces, so that the parser finds words and no addresses or paths. The first lexeme names the
# recipient, so that the index finds the items of one user among those of all. No word begins with its first character.
POSTGRES_CREATE = (
    r"""
    ALTER TABLE klaxon_inboxitem ADD COLUMN search tsvector GENERATED ALWAYS AS (
        array_to_tsvector(ARRAY['@' || recipient_id::text]) || to_tsvector('simple'::regconfig, translate(
            title || ' ' || left(body, 20000), $$!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~$$, repeat(' ', 32)
        ))
    ) STORED
    """,
    'CREATE INDEX klaxon_inbox_search ON klaxon_inboxitem USING gin (search)',
)
POSTGRES_DROP = (
    'DROP INDEX IF EXISTS klaxon_inbox_search',
    'ALTER TABLE klaxon_inboxitem DROP COLUMN IF EXISTS search',
)

ADD = 'INSERT INTO klaxon_inboxsearch (rowid, title, body, recipient_id) VALUES (new.id, new.title, new.body, new.recipient_id)'
REMOVE = """
INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch, rowid, title, body, recipient_id)
VALUES ('delete', old.id, old.title, old.body, old.recipient_id)
"""
# Older versions keep the words of deleted items in the index until they merge its parts.
SQLITE_SECURE_DELETE = (
    ("INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch, rank) VALUES ('secure-delete', 1)",)
    if sqlite3.sqlite_version_info >= (3, 42)
    else ()
)
SQLITE_CREATE = (
    """
    CREATE VIRTUAL TABLE klaxon_inboxsearch USING fts5(
        title, body, recipient_id, content='klaxon_inboxitem', content_rowid='id',
        tokenize='unicode61 remove_diacritics 0'
    )
    """,
    *SQLITE_SECURE_DELETE,
    "INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch) VALUES ('rebuild')",
    f'CREATE TRIGGER klaxon_inbox_search_add AFTER INSERT ON klaxon_inboxitem BEGIN {ADD}; END',
    f'CREATE TRIGGER klaxon_inbox_search_remove AFTER DELETE ON klaxon_inboxitem BEGIN {REMOVE}; END',
    'CREATE TRIGGER klaxon_inbox_search_change AFTER UPDATE OF title, body, recipient_id ON klaxon_inboxitem '
    f'BEGIN {REMOVE}; {ADD}; END',
)
SQLITE_DROP = (
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_add',
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_remove',
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_change',
    'DROP TABLE IF EXISTS klaxon_inboxsearch',
)
STATEMENTS = {'postgresql': (POSTGRES_CREATE, POSTGRES_DROP), 'sqlite': (SQLITE_CREATE, SQLITE_DROP)}


def execute(apps, schema_editor, number):
    connection = schema_editor.connection
    if router.allow_migrate_model(connection.alias, apps.get_model('klaxon', 'InboxItem')):
        for statement in STATEMENTS[connection.vendor][number]:
            schema_editor.execute(statement, params=None)


def create_index(apps, schema_editor):
    execute(apps, schema_editor, 0)


def drop_index(apps, schema_editor):
    execute(apps, schema_editor, 1)


class Migration(migrations.Migration):

    initial = True

    replaces = [
        ('klaxon', '0001_initial'),
        ('klaxon', '0002_provider_health_and_refusals'),
        ('klaxon', '0003_log_related_names'),
        ('klaxon', '0004_append_only_log'),
        ('klaxon', '0005_log_notes'),
        ('klaxon', '0006_reason_switched_off'),
        ('klaxon', '0007_base_managers'),
        ('klaxon', '0008_digest_kind_and_tried_providers'),
        ('klaxon', '0009_tracking_events_and_suppression_causes'),
        ('klaxon', '0010_staff_templates'),
        ('klaxon', '0011_encrypted_inbox_items'),
        ('klaxon', '0012_tracking_and_figures'),
        ('klaxon', '0013_inbox_feed'),
        ('klaxon', '0014_inbox_search'),
        ('klaxon', '0015_push_subscriptions'),
        ('klaxon', '0016_address_confirmations'),
        ('klaxon', '0017_live_messages'),
        ('klaxon', '0018_preferred_channels'),
        ('klaxon', '0019_devices'),
        ('klaxon', '0020_magic_links'),
        ('klaxon', '0021_stopped_phone_numbers'),
        ('klaxon', '0022_webhooks'),
        ('klaxon', '0023_http_api'),
    ]

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Circuit',
            fields=[
                ('key', models.CharField(max_length=160, primary_key=True, serialize=False, verbose_name='provider')),
                ('failures', models.PositiveIntegerField(default=0, verbose_name='failures in a row')),
                ('opened_at', models.DateTimeField(null=True, verbose_name='opened at')),
                ('open_until', models.DateTimeField(null=True, verbose_name='open until')),
                ('seconds', models.FloatField(default=0, verbose_name='seconds to wait')),
                ('probe_until', models.DateTimeField(null=True, verbose_name='probed until')),
                ('closed_at', models.DateTimeField(null=True, verbose_name='closed at')),
                ('error', models.CharField(blank=True, max_length=300, verbose_name='last error')),
                ('refusal', models.CharField(blank=True, max_length=40, verbose_name='repeated refusal')),
                ('refused', models.JSONField(blank=True, default=list, verbose_name='recipients with the same refusal')),
                ('success_rate', models.FloatField(default=1.0, verbose_name='success rate')),
                ('response_seconds', models.FloatField(default=0.0, verbose_name='response time')),
            ],
            options={
                'verbose_name': 'circuit',
                'verbose_name_plural': 'circuits',
            },
        ),
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('owner', models.CharField(max_length=100, primary_key=True, serialize=False, verbose_name='owner')),
                ('host', models.CharField(max_length=255, verbose_name='host')),
                ('pid', models.PositiveIntegerField(verbose_name='process id')),
                ('started_at', models.DateTimeField(verbose_name='started at')),
                ('beat_at', models.DateTimeField(verbose_name='last beat at')),
            ],
            options={
                'verbose_name': 'worker',
                'verbose_name_plural': 'workers',
            },
        ),
        migrations.CreateModel(
            name='IdempotentRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True, verbose_name='hash of the caller and the key')),
                ('fingerprint', models.CharField(max_length=64, verbose_name='hash of the content')),
                ('owner', models.CharField(max_length=32, verbose_name='owner')),
                ('lease_until', models.DateTimeField(verbose_name='lease')),
                ('expires_at', models.DateTimeField(db_index=True, verbose_name='expires at')),
                ('status', models.PositiveSmallIntegerField(null=True, verbose_name='status')),
                ('body', models.TextField(blank=True, verbose_name='answer')),
            ],
            options={
                'verbose_name': 'idempotent request',
                'verbose_name_plural': 'idempotent requests',
            },
        ),
        migrations.CreateModel(
            name='InboxFeed',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to=settings.AUTH_USER_MODEL, verbose_name='user')),
                ('revision', models.BigIntegerField(default=0, verbose_name='revision')),
            ],
            options={
                'verbose_name': 'inbox feed',
                'verbose_name_plural': 'inbox feeds',
            },
        ),
        migrations.CreateModel(
            name='Cluster',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('slug', models.SlugField(max_length=100, unique=True, verbose_name='slug')),
                ('open_to_all', models.BooleanField(default=False, help_text='Every active user is a member, listed or not.', verbose_name='open to all')),
                ('members', models.ManyToManyField(blank=True, related_name='notification_clusters', to=settings.AUTH_USER_MODEL, verbose_name='members')),
            ],
            options={
                'verbose_name': 'cluster',
                'verbose_name_plural': 'clusters',
                'ordering': ('name',),
                'swappable': 'NOTIFICATIONS_CLUSTER_MODEL',
            },
        ),
        migrations.CreateModel(
            name='Notification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('priority', models.PositiveSmallIntegerField(choices=[(1, 'critical'), (2, 'high'), (3, 'medium'), (4, 'low')], verbose_name='priority')),
                ('context', models.JSONField(blank=True, default=dict, verbose_name='context')),
                ('topic', models.CharField(blank=True, max_length=200, verbose_name='topic')),
                ('campaign', models.CharField(blank=True, max_length=200, verbose_name='campaign')),
                ('correlation_id', models.CharField(db_index=True, default=uuid.uuid4, max_length=100, verbose_name='correlation id')),
                ('attachment_bytes', models.PositiveIntegerField(default=0, verbose_name='size of attachments')),
                ('digest_kind', models.CharField(blank=True, choices=[('batch', 'batch'), ('daily', 'daily digest'), ('weekly', 'weekly digest')], max_length=10, verbose_name='kind of digest')),
                ('created_at', models.DateTimeField(db_index=True, verbose_name='created at')),
                ('send_at', models.DateTimeField(blank=True, null=True, verbose_name='send at')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires at')),
                ('cancel_key', models.CharField(blank=True, max_length=200, null=True, verbose_name='cancel key')),
                ('cancelled_at', models.DateTimeField(blank=True, null=True, verbose_name='cancelled at')),
                ('idempotency_key', models.CharField(blank=True, max_length=200, null=True, verbose_name='idempotency key')),
                ('idempotency_hash', models.CharField(blank=True, max_length=64, verbose_name='idempotency hash')),
                ('actor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'notification',
                'verbose_name_plural': 'notifications',
                'permissions': [('send_notification', 'Can send notifications through the HTTP API')],
                'indexes': [models.Index(condition=models.Q(('cancel_key__isnull', False)), fields=['cluster', 'cancel_key'], name='klaxon_notification_cancel')],
                'constraints': [models.UniqueConstraint(fields=('cluster', 'event', 'idempotency_key'), name='klaxon_notification_idempotency')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=50, verbose_name='channel')),
                ('recipient_key', models.CharField(max_length=80, verbose_name='recipient key')),
                ('address', models.TextField(blank=True, verbose_name='address')),
                ('address_hash', models.CharField(max_length=32, verbose_name='address hash')),
                ('state', models.CharField(choices=[('held', 'held'), ('ready', 'ready'), ('claimed', 'claimed'), ('sending', 'sending'), ('retry', 'retry'), ('unknown', 'unknown'), ('sent', 'sent'), ('dead', 'dead'), ('dropped', 'dropped'), ('merged', 'merged'), ('cancelled', 'cancelled'), ('expired', 'expired')], default='ready', max_length=10, verbose_name='state')),
                ('reason', models.CharField(blank=True, choices=[('unknown_user', 'The user no longer exists'), ('inactive', 'The user is inactive'), ('not_member', 'Not a member of the cluster'), ('no_address', 'No address for this channel'), ('invalid_address', 'The address is malformed'), ('account_address', 'The user’s own address is unusable; that of the account is used'), ('suppressed', 'The address is suppressed'), ('preference', 'Opted out in the preferences'), ('muted', 'Muted by the user'), ('duplicate', 'A duplicate of a recent notification'), ('covered', 'Covered by another channel'), ('preferred', 'Waits for a preferred channel'), ('passed_over', 'Cannot reach the recipient now; another channel is tried first'), ('read', 'Read or acknowledged on another channel'), ('channel_not_configured', 'The channel is not configured'), ('not_permitted', 'The actor may not send it'), ('switched_off', 'Notifications are switched off'), ('queue_full', 'The queue is full'), ('shed', 'Made room for a more urgent notification'), ('over_limit', 'Over a rate limit'), ('quiet_hours', 'Waits for the end of quiet hours'), ('delivery_window', 'Waits for a delivery window'), ('batch', 'Waits for its batch'), ('digest', 'Waits for the digest'), ('scheduled', 'Waits for its send time'), ('expired', 'Its time has passed'), ('cancelled', 'Cancelled'), ('unknown_event', 'The event is no longer registered'), ('rendering', 'It could not be rendered'), ('temporary', 'The provider failed temporarily'), ('unreachable', 'The provider could not be reached'), ('permanent', 'The provider refused permanently'), ('configuration', 'The provider is misconfigured'), ('lost_contact', 'Contact was lost; it may have been accepted'), ('worker_lost', 'Its worker stopped responding'), ('failed_over', 'Handed to the next provider'), ('broken_off', 'The group was interrupted before its turn'), ('on_trial', 'Tried alone, because a worker died while processing it'), ('strikes', 'Three workers died while processing it'), ('fallback', 'Handed to the fallback channel'), ('retried', 'Resent by a person')], max_length=40, verbose_name='reason')),
                ('due_at', models.DateTimeField(blank=True, null=True, verbose_name='due at')),
                ('score', models.PositiveSmallIntegerField(default=50, verbose_name='score')),
                ('attempts', models.PositiveIntegerField(default=0, verbose_name='attempts')),
                ('strikes', models.PositiveSmallIntegerField(default=0, verbose_name='strikes')),
                ('owner', models.CharField(blank=True, max_length=100, verbose_name='owner')),
                ('lease', models.DateTimeField(blank=True, null=True, verbose_name='lease')),
                ('fence', models.PositiveIntegerField(default=0, verbose_name='fence')),
                ('epoch', models.PositiveIntegerField(default=0, verbose_name='epoch')),
                ('provider', models.CharField(blank=True, max_length=100, verbose_name='provider')),
                ('provider_message_id', models.CharField(blank=True, max_length=255, verbose_name='provider message id')),
                ('tried_providers', models.TextField(blank=True, verbose_name='tried providers')),
                ('settled_at', models.DateTimeField(blank=True, null=True, verbose_name='settled at')),
                ('merged_into', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='merged', to='klaxon.delivery', verbose_name='merged into')),
                ('recipient', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='recipient')),
                ('notification', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='klaxon.notification', verbose_name='notification')),
            ],
            options={
                'verbose_name': 'delivery',
                'verbose_name_plural': 'deliveries',
                'permissions': [('retry_delivery', 'Can send a dead delivery again'), ('cancel_delivery', 'Can cancel a waiting delivery')],
                'indexes': [models.Index(condition=models.Q(('state', 'ready')), fields=['-score', 'id'], name='klaxon_delivery_ready'), models.Index(condition=models.Q(('state', 'ready')), fields=['id'], name='klaxon_delivery_oldest'), models.Index(condition=models.Q(('state__in', ('held', 'retry')), models.Q(('reason__in', ('batch', 'digest')), _negated=True)), fields=['due_at'], name='klaxon_delivery_due'), models.Index(condition=models.Q(('reason__in', ('batch', 'digest')), ('state', 'held')), fields=['due_at'], name='klaxon_delivery_digest_due'), models.Index(condition=models.Q(('reason__in', ('batch', 'digest')), ('state', 'held')), fields=['recipient_key'], name='klaxon_delivery_digest_key'), models.Index(condition=models.Q(('state__in', ('claimed', 'sending'))), fields=['lease'], name='klaxon_delivery_lease'), models.Index(condition=models.Q(('state', 'dead')), fields=['settled_at'], name='klaxon_delivery_dead'), models.Index(condition=models.Q(('merged_into__isnull', False)), fields=['merged_into'], name='klaxon_delivery_merged'), models.Index(condition=models.Q(('provider_message_id__gt', '')), fields=['provider_message_id'], name='klaxon_delivery_provider_id')],
                'constraints': [models.UniqueConstraint(fields=('notification', 'channel', 'recipient_key', 'address_hash'), name='klaxon_delivery_once')],
            },
        ),
        migrations.CreateModel(
            name='NotificationLog',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('attempt', 'attempt'), ('drop', 'drop'), ('provider_event', 'provider event'), ('resent', 'sent again'), ('note', 'note')], max_length=20, verbose_name='kind')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('recipient_key', models.CharField(max_length=80, verbose_name='recipient key')),
                ('channel', models.CharField(max_length=50, verbose_name='channel')),
                ('success', models.BooleanField(default=False, verbose_name='success')),
                ('reason', models.CharField(blank=True, choices=[('unknown_user', 'The user no longer exists'), ('inactive', 'The user is inactive'), ('not_member', 'Not a member of the cluster'), ('no_address', 'No address for this channel'), ('invalid_address', 'The address is malformed'), ('account_address', 'The user’s own address is unusable; that of the account is used'), ('suppressed', 'The address is suppressed'), ('preference', 'Opted out in the preferences'), ('muted', 'Muted by the user'), ('duplicate', 'A duplicate of a recent notification'), ('covered', 'Covered by another channel'), ('preferred', 'Waits for a preferred channel'), ('passed_over', 'Cannot reach the recipient now; another channel is tried first'), ('read', 'Read or acknowledged on another channel'), ('channel_not_configured', 'The channel is not configured'), ('not_permitted', 'The actor may not send it'), ('switched_off', 'Notifications are switched off'), ('queue_full', 'The queue is full'), ('shed', 'Made room for a more urgent notification'), ('over_limit', 'Over a rate limit'), ('quiet_hours', 'Waits for the end of quiet hours'), ('delivery_window', 'Waits for a delivery window'), ('batch', 'Waits for its batch'), ('digest', 'Waits for the digest'), ('scheduled', 'Waits for its send time'), ('expired', 'Its time has passed'), ('cancelled', 'Cancelled'), ('unknown_event', 'The event is no longer registered'), ('rendering', 'It could not be rendered'), ('temporary', 'The provider failed temporarily'), ('unreachable', 'The provider could not be reached'), ('permanent', 'The provider refused permanently'), ('configuration', 'The provider is misconfigured'), ('lost_contact', 'Contact was lost; it may have been accepted'), ('worker_lost', 'Its worker stopped responding'), ('failed_over', 'Handed to the next provider'), ('broken_off', 'The group was interrupted before its turn'), ('on_trial', 'Tried alone, because a worker died while processing it'), ('strikes', 'Three workers died while processing it'), ('fallback', 'Handed to the fallback channel'), ('retried', 'Resent by a person')], max_length=40, verbose_name='reason')),
                ('error_message', models.TextField(blank=True, verbose_name='error message')),
                ('provider', models.CharField(blank=True, max_length=100, verbose_name='provider')),
                ('provider_message_id', models.CharField(blank=True, max_length=255, verbose_name='provider message id')),
                ('attempt', models.PositiveIntegerField(null=True, verbose_name='attempt')),
                ('epoch', models.PositiveIntegerField(null=True, verbose_name='epoch')),
                ('duration', models.FloatField(help_text='Seconds that the provider took to answer.', null=True, verbose_name='duration')),
                ('correlation_id', models.CharField(blank=True, max_length=100, verbose_name='correlation id')),
                ('sent_at', models.DateTimeField(verbose_name='sent at')),
                ('cluster', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='notification_logs', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('delivery', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.delivery', verbose_name='delivery')),
                ('recipient', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='received_notifications', to=settings.AUTH_USER_MODEL, verbose_name='recipient')),
                ('notification', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.notification', verbose_name='notification')),
            ],
            options={
                'verbose_name': 'log entry',
                'verbose_name_plural': 'log entries',
                'base_manager_name': 'objects',
                'indexes': [models.Index(fields=['cluster', 'sent_at'], name='klaxon_log_cluster'), models.Index(fields=['sent_at'], name='klaxon_log_sent_at'), models.Index(fields=['correlation_id'], name='klaxon_log_correlation')],
            },
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('channel', models.CharField(help_text='The name of a channel, or * for all channels.', max_length=50, primary_key=True, serialize=False, verbose_name='channel')),
                ('note', models.CharField(blank=True, max_length=200, verbose_name='note')),
                ('since', models.DateTimeField(verbose_name='since')),
            ],
            options={
                'verbose_name': 'pause',
                'verbose_name_plural': 'pauses',
            },
        ),
        migrations.CreateModel(
            name='TrackedLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('url_hash', models.CharField(max_length=64, unique=True, verbose_name='hash of the URL')),
                ('url', models.TextField(verbose_name='URL')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
            ],
            options={
                'verbose_name': 'tracked link',
                'verbose_name_plural': 'tracked links',
            },
        ),
        migrations.CreateModel(
            name='AddressConfirmation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=50, verbose_name='channel')),
                ('address', models.CharField(max_length=500, verbose_name='address')),
                ('requested_at', models.DateTimeField(db_index=True, verbose_name='requested at')),
                ('confirmed_at', models.DateTimeField(blank=True, null=True, verbose_name='confirmed at')),
                ('is_open', models.BooleanField(default=True, verbose_name='open')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'address confirmation',
                'verbose_name_plural': 'address confirmations',
            },
        ),
        migrations.CreateModel(
            name='APIKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='The program that uses the key.', max_length=100, verbose_name='name')),
                ('prefix', models.CharField(editable=False, max_length=12, unique=True, verbose_name='prefix')),
                ('token_hash', models.CharField(editable=False, max_length=64, verbose_name='hash of the key')),
                ('scopes', models.JSONField(validators=[notifications.models.api_key.validate_scopes], verbose_name='scopes')),
                ('all_clusters', models.BooleanField(default=False, help_text='The key reaches all clusters that its user can reach.', verbose_name='all clusters')),
                ('created_at', models.DateTimeField(editable=False, verbose_name='created at')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires at')),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='last used at')),
                ('revoked_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='revoked at')),
                ('clusters', models.ManyToManyField(blank=True, help_text='The clusters that the key is limited to. Without any, it reaches none.', related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='clusters')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'API key',
                'verbose_name_plural': 'API keys',
            },
        ),
        migrations.CreateModel(
            name='Bucket',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=300, verbose_name='key')),
                ('full_at', models.DateTimeField(verbose_name='full at')),
                ('seen_at', models.DateTimeField(verbose_name='last seen at')),
                ('promised_at', models.DateTimeField(verbose_name='reserved until')),
            ],
            options={
                'verbose_name': 'bucket',
                'verbose_name_plural': 'buckets',
                'indexes': [models.Index(fields=['full_at'], name='klaxon_bucket_full_at')],
                'constraints': [models.UniqueConstraint(fields=('key',), name='klaxon_bucket_once')],
            },
        ),
        migrations.CreateModel(
            name='Device',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.CharField(editable=False, max_length=1000, unique=True, verbose_name='registration token')),
                ('platform', models.CharField(choices=[('android', 'Android'), ('ios', 'iOS'), ('web', 'Web')], max_length=10, verbose_name='platform')),
                ('name', models.CharField(blank=True, max_length=100, verbose_name='name')),
                ('registered_at', models.DateTimeField(verbose_name='registered at')),
                ('accepted_at', models.DateTimeField(blank=True, null=True, verbose_name='last accepted at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'device',
                'verbose_name_plural': 'devices',
            },
        ),
        migrations.CreateModel(
            name='LiveMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('content', models.JSONField(default=dict, verbose_name='content')),
                ('expires_at', models.DateTimeField(db_index=True, verbose_name='expires at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'live message',
                'verbose_name_plural': 'live messages',
            },
        ),
        migrations.CreateModel(
            name='LogPersonal',
            fields=[
                ('log', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='personal', serialize=False, to='klaxon.notificationlog', verbose_name='log entry')),
                ('address', models.CharField(blank=True, max_length=255, verbose_name='masked address')),
                ('context_data', models.JSONField(blank=True, default=dict, verbose_name='context data')),
            ],
            options={
                'verbose_name': 'personal part of a log entry',
                'verbose_name_plural': 'personal parts of log entries',
                'base_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='MagicLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('purpose', models.CharField(choices=[('notification_status', 'What was sent to me'), ('settings_view', 'My settings')], max_length=30, verbose_name='purpose')),
                ('link_hash', models.CharField(max_length=64, unique=True, verbose_name='hash')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('expires_at', models.DateTimeField(db_index=True, verbose_name='expires at')),
                ('used_at', models.DateTimeField(blank=True, null=True, verbose_name='used at')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'magic link',
                'verbose_name_plural': 'magic links',
            },
        ),
        migrations.CreateModel(
            name='Fingerprint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, verbose_name='key')),
                ('recipient_key', models.CharField(max_length=80, verbose_name='recipient key')),
                ('first_at', models.DateTimeField(verbose_name='first at')),
                ('until', models.DateTimeField(verbose_name='until')),
                ('folded', models.PositiveIntegerField(default=0, verbose_name='duplicates')),
                ('notification', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.notification', verbose_name='first notification')),
            ],
            options={
                'verbose_name': 'fingerprint',
                'verbose_name_plural': 'fingerprints',
                'indexes': [models.Index(fields=['until'], name='klaxon_fingerprint_until')],
                'constraints': [models.UniqueConstraint(fields=('key',), name='klaxon_fingerprint_once')],
            },
        ),
        migrations.CreateModel(
            name='AttachedFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.PositiveSmallIntegerField(verbose_name='position')),
                ('name', models.CharField(max_length=255, verbose_name='name')),
                ('mimetype', models.CharField(max_length=255, verbose_name='type')),
                ('content', models.BinaryField(verbose_name='content')),
                ('notification', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attachments', to='klaxon.notification', verbose_name='notification')),
            ],
            options={
                'verbose_name': 'attachment',
                'verbose_name_plural': 'attachments',
                'constraints': [models.UniqueConstraint(fields=('notification', 'place'), name='klaxon_attachment_once')],
            },
        ),
        migrations.CreateModel(
            name='Acknowledgement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(verbose_name='at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
                ('notification', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acknowledgements', to='klaxon.notification', verbose_name='notification')),
            ],
            options={
                'verbose_name': 'acknowledgement',
                'verbose_name_plural': 'acknowledgements',
                'constraints': [models.UniqueConstraint(fields=('notification', 'user'), name='klaxon_acknowledgement_once')],
            },
        ),
        migrations.CreateModel(
            name='PreferenceChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(verbose_name='at')),
                ('action', models.CharField(choices=[('added', 'added'), ('changed', 'changed'), ('deleted', 'deleted')], max_length=10, verbose_name='action')),
                ('table', models.CharField(max_length=50, verbose_name='table')),
                ('subject', models.CharField(max_length=200, verbose_name='owner')),
                ('before', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='before')),
                ('after', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='after')),
                ('by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='by')),
                ('cluster', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'preference change',
                'verbose_name_plural': 'preference changes',
                'base_manager_name': 'objects',
                'indexes': [models.Index(fields=['subject'], name='klaxon_change_subject')],
            },
        ),
        migrations.CreateModel(
            name='Presence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hub', models.CharField(max_length=32, verbose_name='hub')),
                ('expires_at', models.DateTimeField(db_index=True, verbose_name='expires at')),
                ('user', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'presence',
                'verbose_name_plural': 'presences',
                'constraints': [models.UniqueConstraint(fields=('user', 'hub'), name='klaxon_presence_once')],
            },
        ),
        migrations.CreateModel(
            name='PushSubscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('endpoint', models.TextField(verbose_name='endpoint')),
                ('endpoint_hash', models.CharField(editable=False, max_length=64, unique=True, verbose_name='hash of the endpoint')),
                ('p256dh', models.CharField(max_length=100, verbose_name='public key of the browser')),
                ('auth', models.CharField(max_length=50, verbose_name='authentication secret')),
                ('server_key', models.CharField(max_length=100, verbose_name='public key of the site')),
                ('browser', models.CharField(blank=True, max_length=100, verbose_name='browser')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('accepted_at', models.DateTimeField(blank=True, null=True, verbose_name='last accepted at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'push subscription',
                'verbose_name_plural': 'push subscriptions',
            },
        ),
        migrations.CreateModel(
            name='SharedPreference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channels', models.JSONField(blank=True, default=dict, verbose_name='channels')),
                ('events', models.JSONField(blank=True, default=dict, verbose_name='events')),
                ('categories', models.JSONField(blank=True, default=dict, verbose_name='categories')),
                ('rank', models.PositiveSmallIntegerField(default=0, help_text='If a user has several roles, the one with the lowest rank comes first.', verbose_name='rank')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('group', models.ForeignKey(blank=True, help_text='Leave empty for the whole cluster.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='auth.group', verbose_name='role')),
            ],
            options={
                'verbose_name': 'role or cluster preference',
                'verbose_name_plural': 'role and cluster preferences',
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('cluster', 'group'), name='klaxon_shared_preference_role'), models.UniqueConstraint(condition=models.Q(('group', None)), fields=('cluster',), name='klaxon_shared_preference_cluster')],
            },
        ),
        migrations.CreateModel(
            name='StaffTemplate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('channel', models.CharField(max_length=50, verbose_name='channel')),
                ('language', models.CharField(blank=True, help_text='A code such as de or de-at; empty for readers of every language without a template of their own.', max_length=20, verbose_name='language')),
                ('published_at', models.DateTimeField(blank=True, null=True, verbose_name='published at')),
                ('cluster', models.ForeignKey(blank=True, help_text='Empty for all clusters without a template of their own.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'staff template',
                'verbose_name_plural': 'staff templates',
                'ordering': ('event', 'channel', 'language', 'pk'),
                'permissions': [('publish_stafftemplate', 'Can publish staff templates')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('cluster__isnull', True)), fields=('event', 'channel', 'language'), name='klaxon_stafftemplate_once', violation_error_message='There is a template for this event, channel and language already.'), models.UniqueConstraint(condition=models.Q(('cluster__isnull', False)), fields=('event', 'channel', 'language', 'cluster'), name='klaxon_stafftemplate_cluster', violation_error_message='The cluster has a template for this event, channel and language already.')],
            },
        ),
        migrations.CreateModel(
            name='StaffTemplateVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(verbose_name='version')),
                ('subject', models.TextField(blank=True, verbose_name='subject')),
                ('html', models.TextField(blank=True, verbose_name='HTML')),
                ('inlined_html', models.TextField(blank=True, editable=False, verbose_name='HTML with inlined CSS')),
                ('text', models.TextField(blank=True, verbose_name='text')),
                ('short', models.TextField(blank=True, verbose_name='short text')),
                ('stops', models.PositiveIntegerField(default=0, editable=False, verbose_name='stops')),
                ('fault', models.TextField(blank=True, editable=False, verbose_name='fault')),
                ('comment', models.CharField(blank=True, max_length=200, verbose_name='comment')),
                ('created_at', models.DateTimeField(default=notifications.core.clock.now, editable=False, verbose_name='created at')),
                ('author', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='author')),
                ('template', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='klaxon.stafftemplate', verbose_name='staff template')),
            ],
            options={
                'verbose_name': 'version of a staff template',
                'verbose_name_plural': 'versions of staff templates',
                'constraints': [models.UniqueConstraint(fields=('template', 'number'), name='klaxon_templateversion_number')],
            },
        ),
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=50, verbose_name='kind')),
                ('address_hash', models.CharField(max_length=32, verbose_name='address hash')),
                ('address', models.CharField(max_length=255, verbose_name='masked address')),
                ('reason', models.CharField(choices=[('hard_bounce', 'the mailbox does not exist'), ('repeated', 'the mailbox refused three times'), ('complaint', 'the recipient reported a mail as spam'), ('blocked', 'the provider or the mailbox blocks mail to it'), ('stopped', 'the recipient answered STOP'), ('manual', 'a person has added it')], max_length=40, verbose_name='reason')),
                ('detail', models.CharField(blank=True, max_length=500, verbose_name='what the provider said')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('refusals', models.PositiveSmallIntegerField(default=1, verbose_name='refusals')),
                ('is_active', models.BooleanField(default=True, verbose_name='suppressed')),
                ('lifted_at', models.DateTimeField(blank=True, null=True, verbose_name='last lifted at')),
                ('lift_note', models.CharField(blank=True, max_length=500, verbose_name='why it was lifted')),
                ('cluster', models.ForeignKey(blank=True, help_text='The cluster in which the address is suppressed; empty for all clusters.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('lifted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='last lifted by')),
            ],
            options={
                'verbose_name': 'suppression',
                'verbose_name_plural': 'suppressions',
                'permissions': [('lift_suppression', 'Can lift a suppression')],
                'indexes': [models.Index(fields=['address_hash'], name='klaxon_suppression_hash')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('cluster__isnull', True)), fields=('address_hash', 'kind'), name='klaxon_suppression_once'), models.UniqueConstraint(condition=models.Q(('cluster__isnull', False)), fields=('address_hash', 'kind', 'cluster'), name='klaxon_suppression_cluster_once')],
            },
        ),
        migrations.CreateModel(
            name='TopicSubscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('topic', models.CharField(max_length=200, verbose_name='topic')),
                ('created_at', models.DateTimeField(default=notifications.core.clock.now, editable=False, verbose_name='created at')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notification_topics', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'topic subscription',
                'verbose_name_plural': 'topic subscriptions',
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('topic', 'cluster', 'user'), name='klaxon_topic_subscription_once')],
            },
        ),
        migrations.CreateModel(
            name='TrackingEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, unique=True, verbose_name='key')),
                ('kind', models.CharField(choices=[('delivered', 'delivered'), ('deferred', 'delayed'), ('rejected', 'rejected by the provider'), ('bounced', 'bounced'), ('complained', 'reported as spam'), ('unsubscribed', 'unsubscribed'), ('opened', 'opened'), ('clicked', 'clicked'), ('stopped', 'answered STOP'), ('resumed', 'answered START')], max_length=20, verbose_name='kind')),
                ('source', models.CharField(max_length=50, verbose_name='source')),
                ('provider_message_id', models.CharField(blank=True, max_length=255, verbose_name='provider message id')),
                ('is_first', models.BooleanField(default=None, null=True, verbose_name='first of its kind')),
                ('is_machine', models.BooleanField(default=False, verbose_name='by a machine')),
                ('machine_sign', models.CharField(blank=True, max_length=20, verbose_name='sign of a machine')),
                ('detail', models.CharField(blank=True, max_length=500, verbose_name='detail')),
                ('happened_at', models.DateTimeField(verbose_name='happened at')),
                ('recorded_at', models.DateTimeField(verbose_name='recorded at')),
                ('delivery', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='tracking_events', to='klaxon.delivery', verbose_name='delivery')),
                ('link', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='klaxon.trackedlink', verbose_name='link')),
            ],
            options={
                'verbose_name': 'tracking event',
                'verbose_name_plural': 'tracking events',
                'indexes': [models.Index(condition=models.Q(('delivery__isnull', True)), fields=['recorded_at'], name='klaxon_tracking_unmatched')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_first', True)), fields=('delivery', 'kind', 'is_machine'), name='klaxon_tracking_first')],
            },
        ),
        migrations.CreateModel(
            name='TrackingFigure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(verbose_name='day')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('campaign', models.CharField(blank=True, max_length=200, verbose_name='campaign')),
                ('variant', models.CharField(blank=True, max_length=50, verbose_name='variant')),
                ('metric', models.CharField(choices=[('sent', 'sent'), ('failed', 'failed'), ('delivered', 'delivered'), ('bounced', 'bounced'), ('complained', 'reported as spam'), ('unsubscribed', 'unsubscribed'), ('opened', 'opened'), ('clicked', 'clicked'), ('machine_opened', 'opened by a machine'), ('machine_clicked', 'clicked by a machine')], max_length=20, verbose_name='metric')),
                ('count', models.BigIntegerField(default=0, verbose_name='count')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'figure',
                'verbose_name_plural': 'figures',
                'indexes': [models.Index(fields=['event', 'day'], name='klaxon_figure_event'), models.Index(fields=['campaign', 'day'], name='klaxon_figure_campaign')],
                'constraints': [models.UniqueConstraint(fields=('day', 'cluster', 'event', 'campaign', 'variant', 'metric'), name='klaxon_figure_once')],
            },
        ),
        migrations.CreateModel(
            name='UserSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channels', models.JSONField(blank=True, default=dict, verbose_name='channels')),
                ('events', models.JSONField(blank=True, default=dict, verbose_name='events')),
                ('categories', models.JSONField(blank=True, default=dict, verbose_name='categories')),
                ('addresses', models.JSONField(blank=True, default=dict, verbose_name='addresses')),
                ('quiet_from', models.TimeField(blank=True, null=True, verbose_name='quiet from')),
                ('quiet_until', models.TimeField(blank=True, help_text='The same time as the beginning turns quiet hours off.', null=True, verbose_name='quiet until')),
                ('delivery_windows', models.JSONField(blank=True, default=dict, verbose_name='delivery windows')),
                ('digest', models.CharField(choices=[('none', 'none'), ('daily', 'daily'), ('weekly', 'weekly')], default='none', max_length=10, verbose_name='digest')),
                ('digest_hour', models.PositiveSmallIntegerField(default=8, validators=[django.core.validators.MaxValueValidator(23)], verbose_name='digest hour')),
                ('digest_day', models.PositiveSmallIntegerField(choices=[(0, 'Monday'), (1, 'Tuesday'), (2, 'Wednesday'), (3, 'Thursday'), (4, 'Friday'), (5, 'Saturday'), (6, 'Sunday')], default=0, verbose_name='digest day')),
                ('digest_asked_at', models.DateTimeField(editable=False, null=True, verbose_name='sections last requested at')),
                ('time_zone', models.CharField(blank=True, max_length=64, verbose_name='time zone')),
                ('language', models.CharField(blank=True, max_length=20, verbose_name='language')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notification_settings', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'user settings',
                'verbose_name_plural': 'user settings',
                'base_manager_name': 'objects',
                'indexes': [models.Index(condition=models.Q(('digest', 'none'), _negated=True), fields=['time_zone', 'digest_hour'], name='klaxon_user_settings_digest')],
                'constraints': [models.UniqueConstraint(fields=('user', 'cluster'), name='klaxon_user_settings_once')],
            },
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.CharField(default=notifications.models.webhook_endpoint.make_uid, editable=False, max_length=40, unique=True, verbose_name='id')),
                ('url', models.CharField(max_length=2000, verbose_name='URL')),
                ('description', models.CharField(blank=True, max_length=200, verbose_name='description')),
                ('events', models.JSONField(blank=True, default=list, verbose_name='events')),
                ('kind', models.CharField(choices=[('v1', 'v1 (HMAC-SHA256, a shared secret)'), ('v1a', 'v1a (Ed25519, a public key)')], default='v1', max_length=3, verbose_name='signature')),
                ('secret', models.TextField(editable=False, verbose_name='secret')),
                ('previous_secret', models.TextField(blank=True, editable=False, verbose_name='previous secret')),
                ('previous_until', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='previous secret valid until')),
                ('enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('disabled_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='disabled at')),
                ('disabled_reason', models.CharField(blank=True, choices=[('person', 'by a person'), ('gone', 'it answered 410 Gone'), ('failing', 'it only failed for days')], editable=False, max_length=10, verbose_name='disabled because')),
                ('failing_since', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='failing since')),
                ('succeeded_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='last accepted at')),
                ('slowed_until', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='slowed down until')),
                ('slow_answers', models.PositiveSmallIntegerField(default=0, editable=False, verbose_name='slow answers in a row')),
                ('created_at', models.DateTimeField(editable=False, verbose_name='created at')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'webhook endpoint',
                'verbose_name_plural': 'webhook endpoints',
                'permissions': [('manage_webhooks', 'Can manage the webhook endpoints of their own clusters')],
                'constraints': [models.UniqueConstraint(fields=('cluster', 'url'), name='klaxon_webhook_url_once')],
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.CharField(max_length=64, verbose_name='message id')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('at', models.DateTimeField(db_index=True, verbose_name='at')),
                ('url', models.CharField(max_length=2000, verbose_name='URL')),
                ('request_headers', models.JSONField(default=dict, verbose_name='headers of the request')),
                ('request_body', models.TextField(blank=True, verbose_name='body of the request')),
                ('status', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='status')),
                ('response_headers', models.JSONField(default=dict, verbose_name='headers of the answer')),
                ('response_body', models.TextField(blank=True, verbose_name='body of the answer')),
                ('error', models.TextField(blank=True, verbose_name='error')),
                ('duration', models.FloatField(default=0, verbose_name='seconds')),
                ('accepted', models.BooleanField(default=False, verbose_name='accepted')),
                ('delivery', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.delivery', verbose_name='delivery')),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='klaxon.webhookendpoint', verbose_name='endpoint')),
            ],
            options={
                'verbose_name': 'attempt of a webhook',
                'verbose_name_plural': 'attempts of webhooks',
                'indexes': [models.Index(fields=['endpoint', '-id'], name='klaxon_webhook_attempts')],
            },
        ),
        migrations.CreateModel(
            name='InboxItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('priority', models.PositiveSmallIntegerField(choices=[(1, 'critical'), (2, 'high'), (3, 'medium'), (4, 'low')], verbose_name='priority')),
                ('topic', models.CharField(blank=True, max_length=200, verbose_name='topic')),
                ('title', models.CharField(max_length=255, verbose_name='title')),
                ('body', models.TextField(blank=True, verbose_name='body')),
                ('encrypted', models.TextField(blank=True, default='', editable=False, verbose_name='encrypted content')),
                ('url', models.CharField(blank=True, default='', max_length=2000, verbose_name='URL')),
                ('icon', models.CharField(blank=True, default='', max_length=200, verbose_name='icon')),
                ('actor_name', models.CharField(blank=True, default='', max_length=150, verbose_name='name of the actor')),
                ('group_key', models.CharField(blank=True, default='', max_length=200, verbose_name='group key')),
                ('actions', models.JSONField(blank=True, default=list, verbose_name='actions')),
                ('action_taken', models.CharField(blank=True, default='', max_length=50, verbose_name='action taken')),
                ('acted_at', models.DateTimeField(blank=True, null=True, verbose_name='acted at')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('seen_at', models.DateTimeField(blank=True, null=True, verbose_name='seen at')),
                ('read_at', models.DateTimeField(blank=True, null=True, verbose_name='read at')),
                ('archived_at', models.DateTimeField(blank=True, null=True, verbose_name='archived at')),
                ('snoozed_until', models.DateTimeField(blank=True, null=True, verbose_name='snoozed until')),
                ('revision', models.BigIntegerField(default=0, editable=False, verbose_name='revision')),
                ('actor', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('delivery', models.OneToOneField(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.delivery', verbose_name='delivery')),
                ('recipient', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='inbox_items', to=settings.AUTH_USER_MODEL, verbose_name='recipient')),
            ],
            options={
                'verbose_name': 'inbox item',
                'verbose_name_plural': 'inbox items',
                'ordering': ('-created_at', '-id'),
                'indexes': [models.Index(condition=models.Q(('archived_at__isnull', True)), fields=['recipient', '-created_at', '-id', 'event', 'topic', 'cluster', 'priority', 'snoozed_until'], name='klaxon_inbox_newest'), models.Index(condition=models.Q(('archived_at__isnull', True), ('read_at__isnull', True)), fields=['recipient', '-created_at', '-id', 'cluster', 'priority', 'snoozed_until'], name='klaxon_inbox_unread'), models.Index(condition=models.Q(('archived_at__isnull', False)), fields=['recipient', '-created_at', '-id'], name='klaxon_inbox_archived'), models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['recipient', 'snoozed_until'], name='klaxon_inbox_snoozed'), models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['snoozed_until'], name='klaxon_inbox_wake'), models.Index(fields=['recipient', 'cluster', '-created_at', '-id'], name='klaxon_inbox_cluster'), models.Index(fields=['recipient', 'revision', 'id'], name='klaxon_inbox_revision')],
            },
        ),
        migrations.CreateModel(
            name='Mute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('topic', 'topic'), ('event', 'event'), ('sender', 'sender')], max_length=10, verbose_name='kind')),
                ('value', models.CharField(help_text='The topic, the name of the event, or the primary key of the user.', max_length=200, verbose_name='value')),
                ('until', models.DateTimeField(blank=True, help_text='Leave empty to mute permanently.', null=True, verbose_name='until')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notification_mutes', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'mute',
                'verbose_name_plural': 'mutes',
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('user', 'cluster', 'kind', 'value'), name='klaxon_mute_once')],
            },
        ),
        migrations.AddField(
            model_name='stafftemplate',
            name='published',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='klaxon.stafftemplateversion', verbose_name='published version'),
        ),
        # The hints are for routers that decide by the name of the model.
        migrations.RunPython(create_triggers, drop_triggers, hints={'model_name': 'notificationlog'}),
        migrations.RunPython(create_index, drop_index, hints={'model_name': 'inboxitem'}),
    ]
