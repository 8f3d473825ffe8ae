"""The ``NOTIFICATIONS`` of the example site, or of a coach; what these write to files goes to a folder of a test."""

from example_project.settings import NOTIFICATIONS


def site_settings(folder, site=NOTIFICATIONS):
    """These settings, and the file of each stand-in by the name of its channel."""
    written = site["CHANNELS"]
    files = {name: folder / entry["OPTIONS"]["file"].name for name, entry in written.items() if "OPTIONS" in entry}
    moved = {name: {**written[name], "OPTIONS": {"file": file}} for name, file in files.items()}
    return {**site, "CHANNELS": {**written, **moved}, "SPOOL_DIR": folder / "spool"}, files
