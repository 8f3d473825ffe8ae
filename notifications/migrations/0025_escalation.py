import datetime
import django.core.validators
import django.db.models.deletion
import notifications.models.escalation
from django.conf import settings
from django.db import migrations, models, router


# 0001_squashed_0023_http_api has created the function.
TRIGGER = """
CREATE TRIGGER klaxon_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW
WHEN (coalesce(current_setting('klaxon.log_changes', true), '') = '')
EXECUTE FUNCTION klaxon_refuse_log_change()
"""


def get_table(apps, schema_editor):
    """Return the quoted name of the table in this database; empty if it is not PostgreSQL."""
    connection, model = schema_editor.connection, apps.get_model('klaxon', 'EscalationEntry')
    if connection.vendor != 'postgresql' or not router.allow_migrate_model(connection.alias, model):
        return ''
    return schema_editor.quote_name(model._meta.db_table)


def create_trigger(apps, schema_editor):
    if table := get_table(apps, schema_editor):
        schema_editor.execute(TRIGGER.format(table=table), params=None)


def drop_trigger(apps, schema_editor):
    if table := get_table(apps, schema_editor):
        schema_editor.execute(f'DROP TRIGGER IF EXISTS klaxon_append_only ON {table}', params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0024_can_state'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='notification',
            name='escalates',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.notification', verbose_name='escalates'),
        ),
        migrations.CreateModel(
            name='EscalationPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=100, validators=[notifications.models.escalation.validate_event_name], verbose_name='event')),
                ('enabled', models.BooleanField(default=True, help_text='Without the check mark, the event does not escalate.', verbose_name='enabled')),
                ('repeat_every', models.DurationField(default=datetime.timedelta(seconds=900), verbose_name='time between repetitions')),
                ('acknowledged_for', models.DurationField(blank=True, help_text='The time after which an acknowledged escalation goes on. Leave empty for no end.', null=True, verbose_name='acknowledged for')),
                ('starts_by_priority', models.BooleanField(default=False, help_text='The first step waits as long as the priority says: not at all, 15 minutes or an hour.', verbose_name='starts by priority')),
                ('cluster', models.ForeignKey(blank=True, help_text='Leave empty for all clusters that have no policy of their own for the event.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'escalation policy',
                'verbose_name_plural': 'escalation policies',
            },
        ),
        migrations.CreateModel(
            name='EscalationPolicyStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('after', models.DurationField(help_text='The time since the notification, such as 00:15:00.', verbose_name='after')),
                ('targets', models.TextField(help_text='One on each line: a name of ESCALATION_TARGETS, user:ada, role:Supervisors, topic:power, address:email=office@example.com, rota:surgery or path:module.function.', verbose_name='targets')),
                ('channels', models.CharField(blank=True, help_text='Names with commas between them. Leave empty for the channels of the event.', max_length=300, verbose_name='channels')),
                ('repeat', models.PositiveSmallIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(100)], verbose_name='repeat')),
                ('policy', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='klaxon.escalationpolicy', verbose_name='policy')),
            ],
            options={
                'verbose_name': 'step',
                'verbose_name_plural': 'steps',
                'ordering': ['after'],
            },
        ),
        migrations.CreateModel(
            name='EscalationRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('state', models.CharField(choices=[('active', 'active'), ('acknowledged', 'acknowledged'), ('resolved', 'resolved'), ('exhausted', 'exhausted'), ('cancelled', 'cancelled')], default='active', max_length=20, verbose_name='state')),
                ('pages', models.JSONField(verbose_name='pages')),
                ('position', models.PositiveSmallIntegerField(default=0, verbose_name='position')),
                ('repeat_every', models.DurationField(verbose_name='time between repetitions')),
                ('acknowledged_for', models.DurationField(null=True, verbose_name='acknowledged for')),
                ('base_at', models.DateTimeField(verbose_name='counts from')),
                ('due_at', models.DateTimeField(null=True, verbose_name='due at')),
                ('started_at', models.DateTimeField(verbose_name='started at')),
                ('acknowledged_at', models.DateTimeField(null=True, verbose_name='acknowledged at')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended at')),
                ('acknowledged_by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='acknowledged by')),
                ('notification', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='escalation_run', to='klaxon.notification', verbose_name='notification')),
            ],
            options={
                'verbose_name': 'escalation',
                'verbose_name_plural': 'escalations',
            },
        ),
        migrations.CreateModel(
            name='EscalationEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(verbose_name='at')),
                ('kind', models.CharField(choices=[('started', 'started'), ('sent', 'sent'), ('unreachable', 'reached nobody'), ('acknowledged', 'acknowledged'), ('went_on', 'went on'), ('snoozed', 'snoozed'), ('handed_over', 'handed over'), ('by_hand', 'escalated by hand'), ('resolved', 'resolved'), ('exhausted', 'exhausted'), ('cancelled', 'cancelled')], max_length=20, verbose_name='kind')),
                ('step', models.PositiveSmallIntegerField(null=True, verbose_name='step')),
                ('targets', models.JSONField(default=list, verbose_name='targets')),
                ('by_key', models.CharField(blank=True, max_length=80, verbose_name='recipient key')),
                ('note', models.TextField(blank=True, verbose_name='note')),
                ('by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='by')),
                ('notification', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='klaxon.notification', verbose_name='notification')),
                ('run', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='entries', to='klaxon.escalationrun', verbose_name='escalation')),
            ],
            options={
                'verbose_name': 'entry of an escalation',
                'verbose_name_plural': 'entries of escalations',
                'ordering': ['pk'],
            },
        ),
        migrations.AddConstraint(
            model_name='escalationpolicy',
            constraint=models.UniqueConstraint(fields=('event', 'cluster'), name='klaxon_escalation_policy'),
        ),
        migrations.AddConstraint(
            model_name='escalationpolicy',
            constraint=models.UniqueConstraint(condition=models.Q(('cluster__isnull', True)), fields=('event',), name='klaxon_escalation_policy_all'),
        ),
        migrations.AddIndex(
            model_name='escalationrun',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='klaxon_escalation_due'),
        ),
        migrations.RunPython(create_trigger, drop_trigger, hints={'model_name': 'escalationentry'}),
    ]
