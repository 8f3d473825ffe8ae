import django.core.validators
import django.db.models.deletion
import notifications.core.clock
import notifications.models.rota
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0025_escalation'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Rota',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.SlugField(help_text='Escalations name the rota by it: rota:key.', verbose_name='key')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('time_zone', models.CharField(help_text='Such as Europe/Berlin.', max_length=50, validators=[notifications.models.rota.validate_zone], verbose_name='time zone')),
                ('cluster', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name='cluster')),
            ],
            options={
                'verbose_name': 'rota',
                'verbose_name_plural': 'rotas',
            },
        ),
        migrations.CreateModel(
            name='RotaLayer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.PositiveSmallIntegerField(default=0, help_text='The layer with the lowest number has priority.', verbose_name='order')),
                ('starts_on', models.DateField(help_text='The day on which the turn of the first member begins.', verbose_name='starts on')),
                ('hand_over', models.TimeField(help_text='The time of day at which a turn begins.', verbose_name='hand-over')),
                ('turn_days', models.PositiveSmallIntegerField(default=7, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(366)], verbose_name='days of a turn')),
                ('hours_from', models.TimeField(blank=True, help_text='Leave both empty for all hours.', null=True, verbose_name='from')),
                ('hours_until', models.TimeField(blank=True, null=True, verbose_name='until')),
                ('days', models.JSONField(blank=True, default=list, help_text='The days on which these hours begin; 0 is Monday. Leave empty for all days.', validators=[notifications.models.rota.validate_days], verbose_name='days')),
                ('rota', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='layers', to='klaxon.rota', verbose_name='rota')),
            ],
            options={
                'verbose_name': 'layer',
                'verbose_name_plural': 'layers',
                'ordering': ['order', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='RotaMember',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.PositiveSmallIntegerField(default=0, verbose_name='order')),
                ('layer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='members', to='klaxon.rotalayer', verbose_name='layer')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'member',
                'verbose_name_plural': 'members',
                'ordering': ['order', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='RotaOverride',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField(verbose_name='starts at')),
                ('ends_at', models.DateTimeField(verbose_name='ends at')),
                ('note', models.CharField(blank=True, max_length=200, verbose_name='note')),
                ('created_at', models.DateTimeField(default=notifications.core.clock.now, editable=False, verbose_name='created at')),
                ('rota', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='overrides', to='klaxon.rota', verbose_name='rota')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'override',
                'verbose_name_plural': 'overrides',
                'ordering': ['created_at', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='TimeOff',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField(verbose_name='starts at')),
                ('ends_at', models.DateTimeField(verbose_name='ends at')),
                ('note', models.CharField(blank=True, max_length=200, verbose_name='note')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'time off',
                'verbose_name_plural': 'time off',
            },
        ),
        migrations.AddConstraint(
            model_name='rota',
            constraint=models.UniqueConstraint(fields=('cluster', 'key'), name='klaxon_rota_key'),
        ),
        migrations.AddIndex(
            model_name='timeoff',
            index=models.Index(fields=['user', 'ends_at'], name='klaxon_time_off'),
        ),
    ]
