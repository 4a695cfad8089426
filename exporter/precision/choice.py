"""Which precisions an export is asked for, and the manifest that holds what came of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import ProofFailed, UnusableData
from exporter.precision.calibration import (
    CalibrationSet,
    random_set,
    read_calibration,
    require_rows,
)
from exporter.precision.catalogue import AUTO, Precision, precisions_named
from exporter.precision.making import Variants, make_variants
from exporter.proof import prepare, random_samples
from exporter.source import LoadedModel
from service.engine.bundle import Bundle, Manifest

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, slots=True)
class Choice:
    """The precisions that were asked for, fp32 apart, and the set to measure them on."""

    precisions: tuple[Precision, ...]
    is_auto: bool  # what does not pass is left out; else it ends the export
    calibration: Path | None


def choose_precisions(names: tuple[str, ...], calibration: Path | None) -> Choice:
    """Return what is asked for; raise before the long work where it cannot be had.

    Raises `UnsupportedModel` for a name that there is not or that needs a calibration set, and
    `UnusableData` where the set is no file.
    """
    if calibration is not None and not calibration.is_file():
        raise UnusableData(f"--calibration {calibration}: there is no such file")
    if calibration is not None:
        require_rows(calibration)  # before the long work
    precisions = precisions_named(names, calibrated=calibration is not None)
    return Choice(precisions, names == (AUTO,), calibration)


def add_precisions(
    bundle: Bundle, loaded: LoadedModel, choice: Choice, progress: Progress
) -> Manifest:
    """Make the chosen precisions beside the proven fp32 of a bundle that is being written.

    Return its manifest with what passed and what did not. Raises `ProofFailed` where a precision
    that was asked for by name did not pass, and `UnusableData` for a set that cannot be read.
    """
    if not choice.precisions:
        return bundle.manifest
    made = make_variants(bundle, choice.precisions, _data(bundle, loaded, choice), progress)
    refused = made.refused
    if choice.is_auto:  # what does not run here was not asked for
        refused = {name: each for name, each in refused.items() if each.measured}
    elif refused:
        raise ProofFailed(_why(made))
    variants = {**bundle.manifest.variants, **made.shipped}
    return bundle.manifest.model_copy(update={"variants": variants, "refused": refused})


def _data(bundle: Bundle, loaded: LoadedModel, choice: Choice) -> CalibrationSet:
    if choice.calibration is not None:
        return read_calibration(choice.calibration, bundle)
    return random_set(prepare(bundle, random_samples(loaded, bundle.manifest)))


def _why(made: Variants) -> str:
    words = "; ".join(f"{name}: {', '.join(each.reasons)}" for name, each in made.refused.items())
    passed = ",".join(["fp32", *made.shipped])
    return (
        "no bundle was written, since a precision that was asked for by name did not pass:"
        f" {words}. Ask for --precisions {passed}, which passed, or for --precisions auto, which"
        " leaves out what does not pass"
    )
