from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("klaxon", "0028_alarm"),
    ]

    operations = [
        # With the other order of columns, a search for a key without its cluster can use it.
        migrations.RemoveIndex(
            model_name="notification",
            name="klaxon_notification_cancel",
        ),
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("cancel_key__isnull", False)),
                fields=["cancel_key", "cluster"],
                name="klaxon_notification_cancel",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(condition=models.Q(("state", "unknown")), fields=["id"], name="klaxon_delivery_unknown"),
        ),
    ]
