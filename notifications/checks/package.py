"""Checks of the package itself: whether Python finds only our own files under the name ``notifications``."""

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from django.core.checks import CheckMessage, Error, Warning

import notifications

DISTRIBUTION = "django-klaxon"
SHOWN = 3


def check_files() -> Iterator[CheckMessage]:
    """Two distributions that were installed into one folder."""
    try:
        ours = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return
    foreign = foreign_files(Path(notifications.__file__).parent, ours)
    if not foreign:
        return
    names = ", ".join(map(str, foreign[:SHOWN])) + (f" and {len(foreign) - SHOWN} more" if foreign[SHOWN:] else "")
    owners = sorted({owner for file in foreign if (owner := owner_of(file))})
    whose = f"They belong to {', '.join(owners)}" if owners else f"They do not belong to {DISTRIBUTION}"
    yield Error(
        f"Foreign modules or migrations stand in the folder of the package 'notifications': {names}. {whose}.",
        hint=f"Install {DISTRIBUTION} anew, in an environment without another package that is imported as "
        "'notifications', such as django-notifications-hq.",
        id="klaxon.E034",
    )


def foreign_files(folder: Path, ours: metadata.Distribution) -> list[Path]:
    """Modules in our folder, as paths in ``site-packages``, that our distribution has not brought.

    None where the list of its files says nothing of the folder: in a source tree, or after an editable install.
    """
    known = {Path(str(file.locate())).resolve() for file in ours.files or () if file.suffix == ".py"}
    folder = folder.resolve()
    if folder / "apps.py" not in known:
        return []
    return sorted(path.relative_to(folder.parent) for path in folder.rglob("*.py") if path not in known)


def owner_of(file: Path) -> str:
    """The other distribution that has brought a file; empty if none has."""
    others = (found for found in metadata.distributions() if found.name != DISTRIBUTION)
    return next((found.name for found in others if any(Path(one) == file for one in found.files or ())), "")


def check_path() -> Iterator[CheckMessage]:
    """A package or module of the same name in another folder of Python's path."""
    for other in others_on(sys.path, Path(notifications.__file__)):
        yield Warning(
            f"Another package named 'notifications' stands in {str(other)!r}; Python takes whichever is first on its "
            "path.",
            hint="Rename it, or uninstall it: imports and templates may come from the wrong package.",
            id="klaxon.W009",
        )


def others_on(path: Iterable[str], own: Path) -> Iterator[Path]:
    """Packages and modules of our name that are not Klaxon; another copy of it is no stranger.

    :param own: the file ``__init__.py`` of the package that was imported.
    """
    seen = {own.resolve()}
    for entry in path:
        for found in (Path(entry, "notifications", "__init__.py"), Path(entry, "notifications.py")):
            # Path.is_file() raises for folders that nobody may look into; Python passes over them.
            if os.path.isfile(found) and found.resolve() not in seen and not _is_ours(found):
                seen.add(found.resolve())
                yield found.parent if found.name == "__init__.py" else found


def _is_ours(file: Path) -> bool:
    try:
        return DISTRIBUTION in file.read_text(errors="replace")
    except OSError:
        return False
