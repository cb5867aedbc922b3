"""The chain every chapter hangs on: data, float model, converted model, each made once and reused.

Chapter 3 trains the model and chapter 4 converts it; a chapter opened before them asks the same chain, which
makes what is missing with the same settings. That is why each chapter stands alone.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import datasets, models, quantization, training
from edgelab.errors import InputError
from edgelab.machine import artifacts, no_tensorflow
from edgelab.targets.cache import compiled
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras
    import numpy as np

    from edgelab.targets.base import Compiled, Target

MODEL_NAME = "MobileNetV2 0.35"
PRETRAINED_DIR = artifacts.PROJECT_ROOT / "data" / "models"
HELD_OUT = 0.1  # of the training pictures: what `training.fit` holds out when it is not told otherwise


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
        """The trained float model: the one kept in `data/models/` in the full profile, else trained here.

        Raises:
            DataError: too few pictures to train on.
            TensorFlowMissingError: it is not installed.
        """
        if card_path := self._kept_card:
            card = json.loads(card_path.read_text(encoding="utf-8"))
            return card_path.with_suffix(".keras"), training.TrainingResult(**card["training"])
        if not no_tensorflow.is_here():
            raise no_tensorflow.TensorFlowMissingError
        # To build the network only to find that it was trained before costs the seconds in which TensorFlow
        # starts; so a note tells which file this code and these settings led to.
        note = artifacts.artifacts_dir() / "models" / f"mobilenet_v2_{self._file_stem}-{self._recipe}.note"
        if note.exists() and (known := training.trained(note.with_name(note.read_text(encoding="utf-8")))):
            return known
        path, result = self.train()
        with artifacts.atomic_path(note) as temporary:
            temporary.write_text(path.name, encoding="utf-8")
        return path, result

    def validation_and_test(self) -> tuple[datasets.Dataset, datasets.Dataset]:
        """Pictures to choose by and pictures to tell the result on; the float model has learned from none.

        A network trained here held some training pictures out: these choose. The kept network was trained
        elsewhere, on another split, and may have learned from any training picture: there the last two fifths
        of the test pictures choose.

        Returns:
            The pictures to choose by, as test pictures beside those that may be trained on.
            The chain's pictures, with the test pictures that are left.

        Raises:
            DataError: too few pictures to hold any out.
        """
        data = self.dataset
        if self._kept_card:
            cut = len(data.test_images) * 3 // 5
            choosing, telling = (
                replace(
                    data,
                    test_images=data.test_images[part],
                    test_labels=data.test_labels[part],
                    fingerprint=artifacts.content_key(of=data.fingerprint, test=[part.start, part.stop]),
                )
                for part in (slice(cut, None), slice(None, cut))
            )
            return choosing, telling
        rest, held_out = training.split_validation(data, HELD_OUT, self.seed)
        choosing = replace(
            data,
            train_images=data.train_images[rest],
            train_labels=data.train_labels[rest],
            test_images=data.train_images[held_out],
            test_labels=data.train_labels[held_out],
            fingerprint=artifacts.content_key(of=data.fingerprint, held_out=held_out.tolist()),
        )
        return choosing, data

    def converted(self, mode: str = "int8", io_dtype: str | None = None) -> quantization.Converted:
        """The float model as a `.tflite` file in the given mode; int8 takes raw uint8 pixels by default.

        Args:
            mode: one of `quantization.MODES`.
            io_dtype: "float32", "int8" or "uint8"; None for uint8 in int8 mode and float32 otherwise.

        Returns:
            The file, converted here. Where TensorFlow is not installed, it is the one in `data/models/` that
            this chain once led to, and says so in `kept`.

        Raises:
            TensorFlowMissingError: it is not installed, and no such file is kept.
        """
        io_dtype = io_dtype or ("uint8" if mode == "int8" else "float32")
        if not no_tensorflow.is_here() and (kept := self._kept_conversion(mode, io_dtype)):
            return kept
        needs_calibration = mode in quantization.CALIBRATED_MODES
        calibration = None
        if needs_calibration:
            calibration = self.dataset.calibration_images(self.settings.calibration_count, self.seed)
        return quantization.convert(
            self.float_model()[0],
            mode,
            calibration,
            io_dtype=io_dtype,
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
        source = mode or target.takes
        model = self.float_model()[0] if source == "keras" else self.converted(source).path
        return compiled(target, model, calibration=self.calibration_for(target))

    @property
    def _kept_card(self) -> Path | None:
        """The record of the trained network that the project keeps for this chain; None without one."""
        path = PRETRAINED_DIR / f"mobilenet_v2_{self._file_stem}.json"
        return path if self.profile == "full" and path.exists() else None

    def _kept_conversion(self, mode: str, io_dtype: str) -> quantization.Converted | None:
        """The file that the project keeps of this chain for machines without TensorFlow; None without one."""
        card_path = PRETRAINED_DIR / f"mobilenet_v2_{self._file_stem}_tflite.json"
        if not card_path.exists():
            return None
        card = json.loads(card_path.read_text(encoding="utf-8"))
        name = f"mobilenet_v2_{self._file_stem}-{mode}-{io_dtype}.tflite"
        if card["settings"] != {**asdict(self.settings), "seed": self.seed} or name not in card["files"]:
            return None
        made = card["made"]
        kept = tr(
            "kept, made with TensorFlow {version} on {date}", version=made["tensorflow"], date=made["date"]
        )
        return quantization.described(PRETRAINED_DIR / name, mode, io_dtype, **card["files"][name], kept=kept)

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
