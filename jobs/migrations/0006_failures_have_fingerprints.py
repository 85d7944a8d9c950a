from django.db import migrations, models

from jobs.fingerprint import FAILURES, cause

CHUNK = 500  # tracebacks may be long
TOLD = ("id", "outcome", "error_type", "error", "traceback")


def mark(apps, schema_editor):
    """The failures of before get theirs, too."""
    attempts = apps.get_model("jobs", "Attempt").objects.filter(outcome__in=FAILURES)
    last = 0
    while found := list(attempts.filter(pk__gt=last).order_by("pk").values_list(*TOLD)[:CHUNK]):
        groups = {}
        for pk, *told in found:
            groups.setdefault(cause(*told).digest, []).append(pk)
        for digest, pks in groups.items():
            attempts.filter(pk__in=pks).update(fingerprint=digest)
        last = found[-1][0]


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0005_fewer_references"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="fingerprint",
            field=models.CharField(blank=True, max_length=16, null=True),
        ),
        migrations.RunPython(mark, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("fingerprint__isnull", False)),
                fields=["fingerprint", "finished_at", "node", "job", "number"],
                name="attempt_failure",
            ),
        ),
    ]
