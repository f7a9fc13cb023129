"""Reads a model from a verified file, after a comparison of what it was made for.

A pickle runs code, and a model predicts even with other columns than it was fitted on. So columns, units and the
package that wrote the file are compared before it is unpickled, and an error names what differs.
"""

import pickle
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from aiops_assets.errors import ModelError, package_missing
from aiops_assets.families.contract import Family, Model, ModelSpec, Prediction
from aiops_assets.storage.records import Manifest

UNREADABLE = (pickle.PickleError, ImportError, AttributeError, LookupError, TypeError, ValueError, EOFError)
"""What loading raises for a file that is the recorded one, and that this code cannot read all the same."""


def read_model(spec: ModelSpec[Model, Prediction], manifest: Manifest, data: bytes) -> Model:
    """The model in a file whose digest was compared, if it fits the present code.

    Args:
        spec: the model.
        manifest: manifest of the version, whose digest was compared too.
        data: content of the model file.

    Raises:
        ModelError: columns, their order, width, units or the minor version of the package that wrote the file differ
            (nothing was unpickled), or the file cannot be read.
    """
    what = f"{spec.name} version {manifest.version}"
    if problem := _other_columns(manifest, spec.family) or _other_package(manifest, spec.family):
        raise ModelError(f"{what} is not loaded: {problem}", code=problem.code, **problem.facts)
    try:
        return spec.family.from_bytes(data)
    except UNREADABLE as error:
        raise ModelError(
            f"{what} cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]}): train it again",
            code="unreadable_model",
            version=manifest.version,
        ) from error


def _other_columns(manifest: Manifest, family: Family[Model, Prediction]) -> ModelError | None:
    """The difference between the columns that a model was fitted on and those of this code; ``None``: there is none."""
    trained, ours = manifest.features, family.features
    cure = "serve it with the code that trained it, or train it again"
    if len(trained) != len(ours) or manifest.width != len(ours):
        width = manifest.width if len(trained) == len(ours) else len(trained)
        text = f"it was trained on rows of width {width}, this code makes rows of width {len(ours)}: {cure}"
        return ModelError(text, code="other_width", trained=width, ours=len(ours))
    for position, (theirs, mine) in enumerate(zip(trained, ours, strict=True)):
        if theirs != mine:
            is_order = set(trained) == set(ours)
            order = "in another order" if is_order else "on other features"
            return ModelError(
                f"it was trained {order}: column {position} is {theirs}, this code puts {mine} there: {cure}",
                code="other_order" if is_order else "other_features",
                position=position,
                trained=theirs,
                ours=mine,
            )
    for metric, unit in family.units.items():
        if metric in manifest.units and manifest.units[metric] != unit:
            text = f"it was trained on {metric} in {manifest.units[metric]}, this code gives {unit}: {cure}"
            return ModelError(text, code="other_unit", metric=metric, trained=manifest.units[metric], ours=unit)
    return None


def _other_package(manifest: Manifest, family: Family[Model, Prediction]) -> ModelError | None:
    """Why the installed packages must not unpickle the file; ``None``: they may."""
    package = family.pickled_by
    if not package:
        return None
    try:
        here = installed_version(package)
    except PackageNotFoundError:
        return package_missing(package, "train")
    wrote = manifest.packages.get(package)
    if wrote is None:
        text = f"its manifest does not state which {package} wrote it: train it again"
        return ModelError(text, code="package_unknown", package=package)
    if _minor(wrote) != _minor(here):
        return ModelError(
            f"it was written by {package} {wrote}, and {here} is installed: install {package} {_minor(wrote)}, "
            "or train it again",
            code="other_package",
            package=package,
            wrote=wrote,
        )
    return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
