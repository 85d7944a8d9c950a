from django.conf import settings
from django.db import migrations, models

LAST = """UPDATE jobs_job SET failure = (SELECT fingerprint FROM jobs_attempt
    WHERE job_id = jobs_job.id AND number = jobs_job.tried)
    WHERE id IN (SELECT job_id FROM jobs_attempt WHERE fingerprint IS NOT NULL)"""
TRIGGERS = {
    "failed_attempt_deleted": "jobs_attempt",
    "failed_job_deleted": "jobs_job",
    "failed_job_moved": "jobs_job",
}


def remove_triggers(apps, schema_editor):
    """On the way back: what failure_tally.install made goes before its tables."""
    for name, table in TRIGGERS.items():
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            schema_editor.execute(f"DROP FUNCTION IF EXISTS jobs_{name}()")
        else:
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")


class Migration(migrations.Migration):
    """The counts themselves are made after it, by failure_tally.install."""

    dependencies = [
        ("cluster", "0003_what_an_invited_node_is_to_be"),
        ("jobs", "0006_failures_have_fingerprints"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AttemptTally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=16)),
                ("hour", models.BigIntegerField()),
                ("node", models.BigIntegerField()),
                ("spec", models.BigIntegerField()),
                ("attempts", models.BigIntegerField()),
                ("jobs", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["fingerprint", "hour"], name="attempt_tally")],
            },
        ),
        migrations.CreateModel(
            name="JobTally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("failure", models.CharField(max_length=16)),
                ("hour", models.BigIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        max_length=9,
                    ),
                ),
                ("owner", models.BigIntegerField()),
                ("jobs", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["failure", "hour"], name="job_tally")],
            },
        ),
        migrations.RemoveIndex(model_name="attempt", name="attempt_failure"),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("fingerprint__isnull", False)),
                fields=["fingerprint", "finished_at"],
                name="attempt_failure",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="failure",
            field=models.CharField(blank=True, max_length=16, null=True),
        ),
        migrations.RunSQL(LAST, migrations.RunSQL.noop, elidable=True),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("failure__isnull", False)),
                fields=["failure", "-id"],
                name="job_failure",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, remove_triggers, elidable=False),
    ]
