"""From a version directory to a model that answers: everything is compared before a byte of it is unpickled.

A pickle runs code, and a model given other columns than it was fitted on answers all the same. So the digests,
the columns, the units and the package that wrote the file come first, and a refusal names what differs.
"""

import pickle
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import Family, ModelSpec
from aiops_assets.storage.records import Manifest
from aiops_assets.storage.served import ServedModels

UNREADABLE = (pickle.PickleError, ImportError, AttributeError, LookupError, TypeError, ValueError, EOFError)
"""What a file raises that this code does not understand, although it is the one that was written."""


def load_model(served: ServedModels, spec: ModelSpec, version: int, manifest_sha256: str) -> Any:
    """A version's model, when it is what was recorded and fits the code that is to ask it.

    Args:
        served: the version directories.
        spec: of the model.
        version: which.
        manifest_sha256: of its manifest, recorded outside the directory.

    Raises:
        NotFoundError: no such version.
        IntegrityError: manifest or file differ from their recorded digests; nothing was unpickled.
        ModelError: other columns, order, width, units or another minor version of the package that wrote the file
            (nothing was unpickled), or a file that cannot be read.
    """
    family = spec.family
    manifest = served.manifest(spec.name, version, manifest_sha256)
    data = served.load_file(spec.name, version, family.model_file, manifest_sha256)
    what = f"{spec.name} version {version}"
    if problem := _other_columns(manifest, family) or _other_package(manifest, family):
        raise ModelError(f"{what} is not loaded: {problem}")
    try:
        return family.from_bytes(data)
    except UNREADABLE as error:
        raise ModelError(
            f"{what} cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]}): train it again"
        ) from error


def unloadable(served: ServedModels, spec: ModelSpec, version: int, manifest_sha256: str) -> str:
    """Why a version cannot be loaded; empty when it can.

    Raises:
        StoreError: the storage cannot be read at all, which says nothing about the version.
    """
    try:
        load_model(served, spec, version, manifest_sha256)
    except (NotFoundError, IntegrityError, ModelError) as error:
        return str(error)
    return ""


def _other_columns(manifest: Manifest, family: Family[Any, Any]) -> str:
    """What differs between the row a model was fitted on and the row that this code makes."""
    trained, ours = manifest.features, family.features
    cure = "serve it with the code that trained it, or train it again"
    if len(trained) != len(ours) or manifest.width != len(ours):
        width = manifest.width if len(trained) == len(ours) else len(trained)
        return f"it was trained on rows of width {width}, this code makes rows of width {len(ours)}: {cure}"
    for position, (theirs, mine) in enumerate(zip(trained, ours, strict=True)):
        if theirs != mine:
            order = "in another order" if set(trained) == set(ours) else "on other features"
            return f"it was trained {order}: column {position} is {theirs}, this code puts {mine} there: {cure}"
    for metric, unit in family.units.items():
        if metric in manifest.units and manifest.units[metric] != unit:
            return f"it was trained on {metric} in {manifest.units[metric]}, this code gives {unit}: {cure}"
    return ""


def _other_package(manifest: Manifest, family: Family[Any, Any]) -> str:
    """Why the file must not be unpickled by the packages that are installed."""
    package = family.pickled_by
    if not package:
        return ""
    try:
        here = installed_version(package)
    except PackageNotFoundError:
        return f"{package} is not installed: pip install 'aiops-assets[train]'"
    wrote = manifest.packages.get(package)
    if wrote is None:
        return f"its manifest does not say which {package} wrote it: train it again"
    if _minor(wrote) != _minor(here):
        return (
            f"it was written by {package} {wrote}, and {here} is installed: install {package} {_minor(wrote)}, "
            "or train it again"
        )
    return ""


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
