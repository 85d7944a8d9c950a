"""What the web server loads before its first request is what that request would load."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import gc, sys
import django
from django.conf import settings

settings.STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
django.setup()
from django.template import Template, engines
from dispycluster import web

web.post_worker_init(None)
assert gc.get_freeze_count() > 100_000
modules, compiled = set(sys.modules), []
compile_nodes = Template.compile_nodelist
Template.compile_nodelist = lambda self: compiled.append(self.name) or compile_nodes(self)
from django.test import Client, override_settings

before = set(sys.modules)
with override_settings(ALLOWED_HOSTS=["*"]):
    for language in ("en", "fr"):
        assert Client().get("/login", headers={"Accept-Language": language}).status_code == 200
ours = ("cluster", "jobs", "monitoring", "schedules", "dispycluster", "rest_framework")
late = {name for name in set(sys.modules) - before if name.split(".")[0] in ours}
assert not late, late
assert not [name for name in compiled if name and "forms" not in name], compiled
print("warm", len(modules))
"""


def test_the_first_request_compiles_nothing_and_imports_nothing_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "warm" in done.stdout
