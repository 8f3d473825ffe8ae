import json

from django.db import migrations, models, router


def split_tried_providers(apps, schema_editor):
    """Move the names of the providers that have failed to their own column. They were joined in ``provider``."""
    Delivery = apps.get_model('klaxon', 'Delivery')
    using = schema_editor.connection.alias
    if not router.allow_migrate_model(using, Delivery):
        return
    rows = Delivery.objects.using(using).filter(reason='failed_over').exclude(provider='')
    for pk, provider in list(rows.values_list('pk', 'provider')):
        names = provider.split(', ')
        rows.filter(pk=pk).update(provider=names[-1], tried_providers=json.dumps(names))


def join_tried_providers(apps, schema_editor):
    Delivery = apps.get_model('klaxon', 'Delivery')
    using = schema_editor.connection.alias
    if not router.allow_migrate_model(using, Delivery):
        return
    rows = Delivery.objects.using(using).filter(reason='failed_over').exclude(tried_providers='')
    for pk, tried in list(rows.values_list('pk', 'tried_providers')):
        rows.filter(pk=pk).update(provider=', '.join(json.loads(tried))[:100])


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0007_base_managers'),
    ]

    operations = [
        migrations.RenameField(
            model_name='notification',
            old_name='gathers',
            new_name='digest_kind',
        ),
        migrations.RenameIndex(
            model_name='delivery',
            new_name='klaxon_delivery_digest_due',
            old_name='klaxon_delivery_gathers',
        ),
        migrations.RenameIndex(
            model_name='delivery',
            new_name='klaxon_delivery_digest_key',
            old_name='klaxon_delivery_gathered',
        ),
        migrations.AddField(
            model_name='delivery',
            name='tried_providers',
            field=models.TextField(blank=True, verbose_name='tried providers'),
        ),
        migrations.RunPython(split_tried_providers, join_tried_providers, hints={'model_name': 'delivery'}),
    ]
