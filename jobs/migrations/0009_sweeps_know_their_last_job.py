from django.db import migrations, models

LAST = """UPDATE jobs_sweep SET jobs_until = (SELECT max(id) FROM jobs_job
    WHERE sweep_id = jobs_sweep.id)"""


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0008_keys_of_nodes_and_notes"),
    ]

    operations = [
        migrations.AddField(
            model_name="sweep",
            name="jobs_until",
            field=models.BigIntegerField(null=True),
        ),
        migrations.RunSQL(LAST, migrations.RunSQL.noop, elidable=True),
    ]
