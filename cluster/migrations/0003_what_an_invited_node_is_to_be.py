from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cluster", "0002_the_cluster"),
    ]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="address",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="invitation",
            name="name",
            field=models.CharField(blank=True, max_length=90),
        ),
        migrations.AddField(
            model_name="invitation",
            name="slots",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="invitation",
            name="tags",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="invitation",
            name="welcome_job",
            field=models.BigIntegerField(blank=True, null=True),
        ),
    ]
