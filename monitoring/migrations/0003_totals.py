from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_alerts")]
    operations = [
        migrations.CreateModel(
            name="Totals",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("attempt", models.BigIntegerField()),
                ("still_open", models.JSONField(default=list)),
                ("values", models.JSONField(default=dict)),
                ("moved_at", models.DateTimeField()),
            ],
            options={"verbose_name_plural": "totals"},
        ),
    ]
