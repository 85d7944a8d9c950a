from django.db import migrations

import cluster.wording


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0006_failures_have_fingerprints"),
    ]

    operations = [
        migrations.AlterField(
            model_name="lease",
            name="note",
            field=cluster.wording.WordsField(blank=True),
        ),
    ]
