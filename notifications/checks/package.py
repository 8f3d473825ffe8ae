"""Checks of the package itself: whether Python finds only Klaxon's files under the name ``notifications``."""

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from django.core.checks import CheckMessage, Error, Warning

import notifications

DISTRIBUTION = "django-klaxon"
LISTED_FILES = 3


def check_files() -> Iterator[CheckMessage]:
    """Report that another distribution was installed into Klaxon's folder."""
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return
    foreign = find_foreign_files(Path(notifications.__file__).parent, distribution)
    if not foreign:
        return
    names, more = ", ".join(map(str, foreign[:LISTED_FILES])), len(foreign) - LISTED_FILES
    names += f" and {more} more" if more > 0 else ""
    owners = sorted({owner for file in foreign if (owner := find_owner(file))})
    origin = f"They belong to {', '.join(owners)}" if owners else f"They do not belong to {DISTRIBUTION}"
    yield Error(
        f"The folder of the package 'notifications' contains foreign modules or migrations: {names}. {origin}.",
        hint=f"Reinstall {DISTRIBUTION} in an environment without another package that is imported as "
        "'notifications', such as django-notifications-hq.",
        id="klaxon.E034",
    )


def find_foreign_files(folder: Path, distribution: metadata.Distribution) -> list[Path]:
    """Return the modules in the folder that do not belong to the distribution, as paths in ``site-packages``.

    The result is empty if the distribution does not list the files of the folder: in a source tree, or after an
    editable install.
    """
    known = {Path(str(file.locate())).resolve() for file in distribution.files or () if file.suffix == ".py"}
    folder = folder.resolve()
    if folder / "apps.py" not in known:
        return []
    return sorted(path.relative_to(folder.parent) for path in folder.rglob("*.py") if path not in known)


def find_owner(file: Path) -> str:
    """Return the name of the other distribution that installed a file; empty if there is none."""
    others = (other for other in metadata.distributions() if other.name != DISTRIBUTION)
    return next((other.name for other in others if any(Path(path) == file for path in other.files or ())), "")


def check_path() -> Iterator[CheckMessage]:
    """Report a package or module of the same name in another folder of Python's path."""
    for other in find_other_packages(sys.path, Path(notifications.__file__)):
        yield Warning(
            f"{str(other)!r} is another package named 'notifications'. Python imports the one that is first on its "
            "path.",
            hint="Rename or uninstall it. Otherwise imports and templates may come from the wrong package.",
            id="klaxon.W009",
        )


def find_other_packages(path: Iterable[str], own: Path) -> Iterator[Path]:
    """Yield packages and modules named ``notifications`` that are not Klaxon. Another copy of Klaxon is ignored.

    :param own: the file ``__init__.py`` of the package that was imported.
    """
    seen = {own.resolve()}
    for entry in path:
        for found in (Path(entry, "notifications", "__init__.py"), Path(entry, "notifications.py")):
            # Path.is_file() raises for folders that cannot be read; Python skips them.
            if os.path.isfile(found) and found.resolve() not in seen and not _is_klaxon(found):
                seen.add(found.resolve())
                yield found.parent if found.name == "__init__.py" else found


def _is_klaxon(file: Path) -> bool:
    try:
        return DISTRIBUTION in file.read_text(errors="replace")
    except OSError:
        return False
