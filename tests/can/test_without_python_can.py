import subprocess
import sys

import pytest
from django.core.management import CommandError

from notifications.core import extras
from notifications.exceptions import MissingExtra
from tests.can.candump import TWO_FAULTS, bridge, write


@pytest.mark.parametrize("options", [{"replay": "coach.log"}, {"interface": "virtual", "seconds": 1.0}])
def test_the_missing_extra_is_named(tmp_path, monkeypatch, options):
    def missing(module):
        raise MissingExtra(module, "can")

    monkeypatch.setattr(extras, "import_optional", missing)
    if "replay" in options:
        options = {"replay": write(tmp_path, TWO_FAULTS)}
    with pytest.raises(CommandError, match=r"django-klaxon\[can\]"):
        bridge(dry_run=True, **options)


def test_pure_modules_are_imported_without_python_can():
    program = (
        "import sys; sys.modules['can'] = None\n"
        "import notifications.can.bridge, notifications.can.recordings, notifications.can.bus\n"
        "assert not [name for name in sys.modules if name.startswith('can.')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
