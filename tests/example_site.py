"""The example site's own ``NOTIFICATIONS``, but that what it writes to files goes to a folder of a test."""

from example_project.settings import NOTIFICATIONS


def site_settings(folder):
    """Those settings, and the file of each stand-in by the name of its channel."""
    written = NOTIFICATIONS["CHANNELS"]
    files = {name: folder / entry["OPTIONS"]["file"].name for name, entry in written.items() if "OPTIONS" in entry}
    moved = {name: {**written[name], "OPTIONS": {"file": file}} for name, file in files.items()}
    return {**NOTIFICATIONS, "CHANNELS": {**written, **moved}, "SPOOL_DIR": folder / "spool"}, files
