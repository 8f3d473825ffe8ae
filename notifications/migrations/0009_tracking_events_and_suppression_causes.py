import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0008_digest_kind_and_tried_providers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='TrackingEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, unique=True, verbose_name='key')),
                ('kind', models.CharField(choices=[('delivered', 'delivered'), ('deferred', 'delayed'), ('rejected', 'rejected by the provider'), ('bounced', 'bounced'), ('complained', 'reported as spam'), ('unsubscribed', 'unsubscribed'), ('opened', 'opened'), ('clicked', 'clicked')], max_length=20, verbose_name='kind')),
                ('source', models.CharField(max_length=50, verbose_name='source')),
                ('provider_message_id', models.CharField(blank=True, max_length=255, verbose_name='provider message id')),
                ('detail', models.CharField(blank=True, max_length=500, verbose_name='detail')),
                ('happened_at', models.DateTimeField(verbose_name='happened at')),
                ('recorded_at', models.DateTimeField(verbose_name='recorded at')),
            ],
            options={
                'verbose_name': 'tracking event',
                'verbose_name_plural': 'tracking events',
            },
        ),
        migrations.AlterModelOptions(
            name='suppression',
            options={'permissions': [('lift_suppression', 'Can lift a suppression')], 'verbose_name': 'suppression', 'verbose_name_plural': 'suppressions'},
        ),
        migrations.RemoveConstraint(
            model_name='suppression',
            name='klaxon_suppression_once',
        ),
        migrations.AddField(
            model_name='suppression',
            name='cluster',
            field=models.ForeignKey(blank=True, help_text='The cluster in which the address is suppressed; empty for all clusters.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='detail',
            field=models.CharField(blank=True, max_length=500, verbose_name='what the provider said'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='lift_note',
            field=models.CharField(blank=True, max_length=500, verbose_name='why it was lifted'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='lifted_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='last lifted at'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='lifted_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='last lifted by'),
        ),
        migrations.AlterField(
            model_name='suppression',
            name='reason',
            field=models.CharField(choices=[('hard_bounce', 'the mailbox does not exist'), ('repeated', 'the mailbox refused three times'), ('complaint', 'the recipient reported a mail as spam'), ('blocked', 'the provider or the mailbox blocks mail to it')], max_length=40, verbose_name='reason'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('provider_message_id__gt', '')), fields=['provider_message_id'], name='klaxon_delivery_provider_id'),
        ),
        migrations.AddIndex(
            model_name='suppression',
            index=models.Index(fields=['address_hash'], name='klaxon_suppression_hash'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(condition=models.Q(('cluster__isnull', True)), fields=('address_hash', 'kind'), name='klaxon_suppression_once'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(condition=models.Q(('cluster__isnull', False)), fields=('address_hash', 'kind', 'cluster'), name='klaxon_suppression_cluster_once'),
        ),
        migrations.AddField(
            model_name='trackingevent',
            name='delivery',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='tracking_events', to='klaxon.delivery', verbose_name='delivery'),
        ),
        migrations.AddIndex(
            model_name='trackingevent',
            index=models.Index(condition=models.Q(('delivery__isnull', True)), fields=['recorded_at'], name='klaxon_tracking_unmatched'),
        ),
    ]
