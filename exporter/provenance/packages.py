"""Packages: the installed distributions whose modules this process has loaded."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)

_LICENCE_MAX = 100  # characters; what is longer is the text of one, not its name
_OURS = "tenantry"  # an editable installation does not tell which modules are its own


@dataclass(frozen=True, slots=True)
class Package:
    """One installed distribution."""

    name: str
    version: str
    expression: str | None  # of SPDX, where its metadata has one (PEP 639)
    licence: str | None  # what its older metadata calls its licence


def loaded_packages(modules: Iterable[str] | None = None) -> list[Package]:
    """Return the distributions that some modules belong to, by name; None: all that are loaded.

    What a package loads that is not Python's (BLAS, a driver) is not told. A module that several
    distributions share counts for each of them.
    """
    names = {name.partition(".")[0] for name in (sys.modules if modules is None else modules)}
    owners = packages_distributions()
    found = {owner for name in names for owner in owners.get(name, ())} | {_OURS}
    packages = {one.name.lower(): one for one in map(_package, found) if one is not None}
    return [packages[name] for name in sorted(packages)]


def _package(name: str) -> Package | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:  # its modules are there, its metadata was removed
        return None
    metadata = found.metadata
    licence = _single(found, "License")
    if licence is None or len(licence) > _LICENCE_MAX or "\n" in licence:
        licence = _classified(metadata.get_all("Classifier") or [])
    return Package(metadata["Name"], found.version, _single(found, "License-Expression"), licence)


def _single(found: Distribution, field: str) -> str | None:
    return next(iter(found.metadata.get_all(field) or []), None)


def _classified(classifiers: Iterable[str]) -> str | None:
    """Return what the classifiers say of the licence."""
    said = [one.rsplit(" :: ", 1)[1] for one in classifiers if one.startswith("License :: ")]
    return ", ".join(said) or None
