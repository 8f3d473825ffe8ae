
import django.db.models.deletion
import notifications.models.api_key
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0022_webhooks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
        migrations.AlterModelOptions(
            name='notification',
            options={'permissions': [('send_notification', 'Can send notifications through the HTTP API')], 'verbose_name': 'notification', 'verbose_name_plural': 'notifications'},
        ),
        migrations.AlterField(
            model_name='suppression',
            name='reason',
            field=models.CharField(choices=[('hard_bounce', 'the mailbox does not exist'), ('repeated', 'the mailbox refused three times'), ('complaint', 'the recipient reported a mail as spam'), ('blocked', 'the provider or the mailbox blocks mail to it'), ('stopped', 'the recipient answered STOP'), ('manual', 'a person has added it')], max_length=40, verbose_name='reason'),
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
    ]
