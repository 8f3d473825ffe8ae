"""A cluster model that does not exist is told by the check, even with the admin installed."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("wrong", ["shop.Nope", "nodot"])
def test_the_check_lives_to_tell_of_it(wrong, tmp_path):
    (tmp_path / "wrong_settings.py").write_text(
        f"from tests.settings import *\nNOTIFICATIONS_CLUSTER_MODEL = {wrong!r}\n"
        "INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith('example_project')]\n"
    )
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-m", "django", "check"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "wrong_settings", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "klaxon.E008" in done.stderr, done.stderr[-2000:]
