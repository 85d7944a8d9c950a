from django.db import migrations

import cluster.wording


class Migration(migrations.Migration):
    dependencies = [
        ("cluster", "0003_what_an_invited_node_is_to_be"),
    ]

    operations = [
        migrations.AlterField(
            model_name="node",
            name="breaker_reason",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AlterField(
            model_name="node",
            name="canary_error",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AlterField(
            model_name="node",
            name="drain_reason",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AlterField(
            model_name="node",
            name="trouble",
            field=cluster.wording.WordsField(blank=True),
        ),
    ]
