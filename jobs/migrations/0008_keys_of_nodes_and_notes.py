import django.db.models.deletion
from django.db import migrations, models

import cluster.wording


class Migration(migrations.Migration):
    dependencies = [
        ("cluster", "0004_reasons_in_any_language"),
        ("jobs", "0007_failures_are_counted"),
    ]

    operations = [
        migrations.AddField(
            model_name="idempotencykey",
            name="node",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, to="cluster.node"
            ),
        ),
        migrations.AlterField(
            model_name="lease",
            name="note",
            field=cluster.wording.WordsField(blank=True),
        ),
    ]
