"""The chain every chapter hangs on: data, float model, converted model, each made once and reused.

Chapter 3 trains the model and chapter 4 converts it; a chapter opened before them asks the same chain, which
makes what is missing with the same settings. That is why each chapter stands alone.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import datasets, models, quantization, training
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.targets.cache import compiled
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras
    import numpy as np

    from edgelab.targets.base import Compiled, Target

MODEL_NAME = "MobileNetV2 0.35"
PRETRAINED_DIR = artifacts.PROJECT_ROOT / "data" / "models"


@dataclass(frozen=True)
class Profile:
    """How much work one pass through the course is.

    Attributes:
        dataset: what is loaded when a chapter names no dataset.
        train_count, test_count: images used; None for all there are.
        epochs: passes over the training images.
        batch_size: images per training step; few images need small batches to make enough steps.
        calibration_count: training images that set the int8 ranges.
    """

    dataset: str
    train_count: int | None
    test_count: int | None
    epochs: int
    batch_size: int
    calibration_count: int


PROFILES = {
    "fast": Profile("shapes", 6000, 2000, epochs=8, batch_size=64, calibration_count=200),
    "full": Profile("cifar10", None, None, epochs=32, batch_size=128, calibration_count=500),
}


@dataclass(frozen=True)
class Pipeline:
    """One dataset and the models made from it. Build it with `open`."""

    profile: str
    dataset_name: str
    seed: int
    model_name: str = MODEL_NAME

    @property
    def settings(self) -> Profile:
        """The profile's numbers."""
        return PROFILES[self.profile]

    @cached_property
    def dataset(self) -> datasets.Dataset:
        """The pictures; loaded when first asked for.

        Raises:
            DataError: they are not here and cannot be fetched.
        """
        settings = self.settings
        return datasets.load(
            self.dataset_name,
            train_count=settings.train_count,
            test_count=settings.test_count,
            seed=self.seed,
        )

    def train(
        self, build: Callable[[], keras.Model] | None = None, *, name: str | None = None, **changes
    ) -> tuple[Path, training.TrainingResult]:
        """Train on this chain's pictures with the profile's settings, or reuse the finished run.

        Args:
            build: makes the untrained model; by default the fitted MobileNetV2.
            name: readable part of the file name.
            **changes: settings of `training.fit` to use in place of the profile's.
        """
        data = self.dataset
        build = build or (lambda: models.mobilenet_v2(data.image_shape, data.class_count))
        profile = self.settings
        settings = {"epochs": profile.epochs, "batch_size": profile.batch_size, "seed": self.seed, **changes}
        return training.train(build, data, name=name or f"mobilenet_v2_{self._file_stem}", **settings)

    def float_model(self) -> tuple[Path, training.TrainingResult]:
        """The trained float model: the one kept in `data/models/` in the full profile, else trained here."""
        card_path = PRETRAINED_DIR / f"mobilenet_v2_{self._file_stem}.json"
        if self.profile == "full" and card_path.exists():
            card = json.loads(card_path.read_text(encoding="utf-8"))
            return card_path.with_suffix(".keras"), training.TrainingResult(**card["training"])
        # To build the network only to find that it was trained before costs the seconds in which TensorFlow
        # starts; so a note tells which file this code and these settings led to.
        note = artifacts.artifacts_dir() / "models" / f"mobilenet_v2_{self._file_stem}-{self._recipe}.note"
        if note.exists() and (known := training.trained(note.with_name(note.read_text(encoding="utf-8")))):
            return known
        path, result = self.train()
        with artifacts.atomic_path(note) as temporary:
            temporary.write_text(path.name, encoding="utf-8")
        return path, result

    def converted(self, mode: str = "int8", io_dtype: str | None = None) -> quantization.Converted:
        """The float model as a `.tflite` file in the given mode; int8 takes raw uint8 pixels by default.

        Args:
            mode: one of `quantization.MODES`.
            io_dtype: "float32", "int8" or "uint8"; None for uint8 in int8 mode and float32 otherwise.
        """
        needs_calibration = mode in quantization.CALIBRATED_MODES
        calibration = None
        if needs_calibration:
            calibration = self.dataset.calibration_images(self.settings.calibration_count, self.seed)
        return quantization.convert(
            self.float_model()[0],
            mode,
            calibration,
            io_dtype=io_dtype or ("uint8" if mode == "int8" else "float32"),
            name=f"mobilenet_v2_{self._file_stem}",
        )

    def calibration_for(self, target: Target) -> np.ndarray | None:
        """The training images that a target quantizes with; None where it takes a quantized model."""
        if target.takes != "float32":
            return None
        return self.dataset.calibration_images(self.settings.calibration_count, self.seed)

    def compiled(self, target: Target, mode: str | None = None) -> Compiled:
        """The model compiled for a target.

        Args:
            target: where it is to run.
            mode: the conversion to start from; None for the one that the target takes.

        Raises:
            TargetError: the toolchain is missing or failed.
            ModelError: it refuses the model.
        """
        model = self.converted(mode or target.takes).path
        return compiled(target, model, calibration=self.calibration_for(target))

    @property
    def _recipe(self) -> str:
        """Hash of all that decides the trained float model: code, pictures, settings, versions."""
        return artifacts.content_key(
            network=Path(models.__file__),
            training=Path(training.__file__),
            data=self.dataset.fingerprint,
            settings=asdict(self.settings),
            seed=self.seed,
            keras=importlib.metadata.version("keras"),
        )

    @property
    def _file_stem(self) -> str:
        is_built_in = self.dataset_name in datasets.BUILT_IN
        return self.dataset_name if is_built_in else datasets.own_name(self.dataset_name)


def open(profile: str = "fast", dataset: str | None = None, seed: int = 0) -> Pipeline:
    """The chain for a profile and a dataset; nothing is made until it is asked for.

    Args:
        profile: "fast" (generated pictures, minutes) or "full" (real pictures, the promised accuracy).
        dataset: as for `datasets.load`; empty or None for the profile's own.
        seed: of drawing, shuffling, training and calibration.

    Raises:
        InputError: an unknown profile.
    """
    if profile not in PROFILES:
        raise InputError(
            tr("There is no profile {profile!r}.", profile=profile),
            why=tr("the profiles are {profiles}", profiles=", ".join(PROFILES)),
            fix=tr('set EDGELAB_PROFILE to one of them, or PROFILE = "fast" in the parameters cell'),
        )
    return Pipeline(profile, dataset or PROFILES[profile].dataset, seed)
