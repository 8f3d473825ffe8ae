import django.db.models.deletion
import notifications.models.webhook_endpoint
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0021_stopped_phone_numbers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
            },
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.UniqueConstraint(fields=('cluster', 'url'), name='klaxon_webhook_url_once'),
        ),
        migrations.AddIndex(
            model_name='webhookattempt',
            index=models.Index(fields=['endpoint', '-id'], name='klaxon_webhook_attempts'),
        ),
    ]
