import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def short_folder():
    """For Unix sockets, whose paths may not be longer than about a hundred characters; other users may enter it."""
    folder = Path(tempfile.mkdtemp(prefix="klaxon-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
