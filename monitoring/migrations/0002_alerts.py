import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0005_fewer_references"),
        ("monitoring", "0001_the_watching"),
    ]
    operations = [
        migrations.AddField(
            model_name="alert",
            name="announced_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="Pace",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("log_mean", models.FloatField()),
                ("moved_at", models.DateTimeField()),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="cluster.node"
                    ),
                ),
                (
                    "spec",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="jobs.spec"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("spec", "node"), name="pace_once"),
                ],
            },
        ),
    ]
