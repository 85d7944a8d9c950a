from django.db import migrations, models

import cluster.wording


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0001_the_schedules"),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="reason",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="last_error",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="paused_why",
            field=cluster.wording.WordsField(blank=True),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("sweep__isnull", False)),
                fields=["sweep"],
                name="schedule_run_sweep",
            ),
        ),
    ]
