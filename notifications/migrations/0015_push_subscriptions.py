import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('klaxon', '0014_inbox_search'),
    ]

    operations = [
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
    ]
