"""The lock file: complete, pinned, hashed, and silent about where packages come from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tidy.imports import imported
from tidy.tree import Modules

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?:\s*;[^\\]*)?(?P<hashes>.*)", re.DOTALL)
_HASH = re.compile(r"--hash=(?P<algorithm>\w+):(?P<digest>\S+)")


def lock_findings(lock: str, pyproject: Mapping[str, Any]) -> list[str]:
    """Findings for a lock that names a host, leaves something unpinned or unhashed, or misses a requirement.

    What must be in it: the run-time and development dependencies and the build backend, in a version they accept.
    """
    findings = [
        f"requirements.lock:{number}: {line.strip()!r} names a place; keep names, versions and hashes only"
        for number, line in enumerate(lock.splitlines(), 1)
        if "://" in line or re.match(r"\s*-(?!-hash=)", line)
    ]
    versions: dict[str, str] = {}
    for number, entry in _entries(lock):
        pin = _PIN.fullmatch(entry)
        if pin is None:
            findings.append(f"requirements.lock:{number}: {entry.split()[0]!r} is not pinned with ==")
            continue
        versions[canonicalize_name(pin["name"])] = pin["version"]
        hashes = _HASH.findall(pin["hashes"])
        if not hashes or any(name != "sha256" or len(digest) != 64 for name, digest in hashes):
            findings.append(f"requirements.lock:{number}: {pin['name']} has no proper sha256 hash; run make lock")
    return findings + _unmet(versions, required(pyproject))


def required(pyproject: Mapping[str, Any]) -> list[Requirement]:
    """Everything pyproject.toml asks for: dependencies, the development extra, the build backend."""
    project = pyproject["project"]
    extras = project.get("optional-dependencies", {}).values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    return [Requirement(text) for text in [*texts, *pyproject["build-system"]["requires"]]]


def undeclared_imports(
    modules: Modules, dependencies: Iterable[str], providers: Mapping[str, Iterable[str]]
) -> list[str]:
    """Findings for imports of packages that are installed only because something else needs them.

    `dependencies` are requirements as text; `providers` maps an importable name to the distributions that bring it,
    as `importlib.metadata.packages_distributions` does.
    """
    declared = {canonicalize_name(Requirement(text).name) for text in dependencies}
    findings = []
    for path, tree in modules.items():
        for line, target in imported(path, tree):
            room = target.split(".", maxsplit=1)[0]
            if room in sys.stdlib_module_names or room.startswith("kyma_"):
                continue
            if not declared.intersection(map(canonicalize_name, providers.get(room, ()))):
                findings.append(f"{path}:{line}: imports {room}, which is not among the dependencies of pyproject.toml")
    return findings


def _entries(lock: str) -> list[tuple[int, str]]:
    """Each requirement with its continuation lines, and the line it starts on; comments left out."""
    entries: list[tuple[int, str]] = []
    for number, line in enumerate(lock.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and entries:
            start, text = entries[-1]
            entries[-1] = (start, f"{text}\n{line}")
        elif not line.startswith("-"):
            entries.append((number, line))
    return entries


def _unmet(versions: Mapping[str, str], requirements: Iterable[Requirement]) -> list[str]:
    findings = []
    for requirement in requirements:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            findings.append(f"requirements.lock:1: {requirement.name} is missing; run make lock")
        elif not requirement.specifier.contains(version, prereleases=True):
            findings.append(
                f"requirements.lock:1: {requirement.name} {version} is not {requirement.specifier}; make lock"
            )
    return sorted(set(findings))
