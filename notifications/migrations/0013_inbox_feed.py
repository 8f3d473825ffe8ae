import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Users who already have items.
ADD_FEEDS = """
INSERT INTO klaxon_inboxfeed (user_id, revision)
SELECT DISTINCT recipient_id, 0 FROM klaxon_inboxitem
"""


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('klaxon', '0012_tracking_and_figures'),
    ]

    operations = [
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
        migrations.RemoveIndex(
            model_name='inboxitem',
            name='klaxon_inbox_newest',
        ),
        migrations.RemoveIndex(
            model_name='inboxitem',
            name='klaxon_inbox_unread',
        ),
        migrations.AlterField(
            model_name='inboxitem',
            name='recipient',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='inbox_items', to=settings.AUTH_USER_MODEL, verbose_name='recipient'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='action_taken',
            field=models.CharField(blank=True, default='', max_length=50, verbose_name='action taken'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='actions',
            field=models.JSONField(blank=True, default=list, verbose_name='actions'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='acted_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='acted at'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='actor',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='actor_name',
            field=models.CharField(blank=True, default='', max_length=150, verbose_name='name of the actor'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='archived_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='archived at'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='group_key',
            field=models.CharField(blank=True, default='', max_length=200, verbose_name='group key'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='icon',
            field=models.CharField(blank=True, default='', max_length=200, verbose_name='icon'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='revision',
            field=models.BigIntegerField(default=0, editable=False, verbose_name='revision'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='seen_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='seen at'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='snoozed_until',
            field=models.DateTimeField(blank=True, null=True, verbose_name='snoozed until'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='url',
            field=models.CharField(blank=True, default='', max_length=2000, verbose_name='URL'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('archived_at__isnull', True)), fields=['recipient', '-created_at', '-id', 'event', 'topic', 'cluster', 'priority', 'snoozed_until'], name='klaxon_inbox_newest'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('archived_at__isnull', True), ('read_at__isnull', True)), fields=['recipient', '-created_at', '-id', 'cluster', 'priority', 'snoozed_until'], name='klaxon_inbox_unread'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('archived_at__isnull', False)), fields=['recipient', '-created_at', '-id'], name='klaxon_inbox_archived'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['recipient', 'snoozed_until'], name='klaxon_inbox_snoozed'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['snoozed_until'], name='klaxon_inbox_wake'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(fields=['recipient', 'cluster', '-created_at', '-id'], name='klaxon_inbox_cluster'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(fields=['recipient', 'revision', 'id'], name='klaxon_inbox_revision'),
        ),
        migrations.RunSQL(ADD_FEEDS, migrations.RunSQL.noop, hints={'model_name': 'inboxfeed'}),
    ]
