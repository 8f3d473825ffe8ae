import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0011_encrypted_inbox_items'),
    ]

    operations = [
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
            name='TrackingFigure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(verbose_name='day')),
                ('event', models.CharField(max_length=100, verbose_name='event')),
                ('campaign', models.CharField(blank=True, max_length=200, verbose_name='campaign')),
                ('variant', models.CharField(blank=True, max_length=50, verbose_name='variant')),
                ('metric', models.CharField(choices=[('sent', 'sent'), ('failed', 'failed'), ('delivered', 'delivered'), ('bounced', 'bounced'), ('complained', 'reported as spam'), ('unsubscribed', 'unsubscribed'), ('opened', 'opened'), ('clicked', 'clicked'), ('machine_opened', 'opened by a machine'), ('machine_clicked', 'clicked by a machine')], max_length=20, verbose_name='metric')),
                ('count', models.BigIntegerField(default=0, verbose_name='count')),
            ],
            options={
                'verbose_name': 'figure',
                'verbose_name_plural': 'figures',
            },
        ),
        migrations.AddField(
            model_name='trackingevent',
            name='is_first',
            field=models.BooleanField(default=None, null=True, verbose_name='first of its kind'),
        ),
        migrations.AddField(
            model_name='trackingevent',
            name='is_machine',
            field=models.BooleanField(default=False, verbose_name='by a machine'),
        ),
        migrations.AddField(
            model_name='trackingevent',
            name='machine_sign',
            field=models.CharField(blank=True, max_length=20, verbose_name='sign of a machine'),
        ),
        migrations.AddField(
            model_name='trackingevent',
            name='link',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='klaxon.trackedlink', verbose_name='link'),
        ),
        migrations.AddConstraint(
            model_name='trackingevent',
            constraint=models.UniqueConstraint(condition=models.Q(('is_first', True)), fields=('delivery', 'kind', 'is_machine'), name='klaxon_tracking_first'),
        ),
        migrations.AddField(
            model_name='trackingfigure',
            name='cluster',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster'),
        ),
        migrations.AddIndex(
            model_name='trackingfigure',
            index=models.Index(fields=['event', 'day'], name='klaxon_figure_event'),
        ),
        migrations.AddIndex(
            model_name='trackingfigure',
            index=models.Index(fields=['campaign', 'day'], name='klaxon_figure_campaign'),
        ),
        migrations.AddConstraint(
            model_name='trackingfigure',
            constraint=models.UniqueConstraint(fields=('day', 'cluster', 'event', 'campaign', 'variant', 'metric'), name='klaxon_figure_once'),
        ),
    ]
