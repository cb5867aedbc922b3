"""What can be wrong with a deployment: its name, where it shows, and the fix."""

from __future__ import annotations

from dataclasses import dataclass

from edgelab.texts import tr

HEALTHY = "healthy"


@dataclass(frozen=True)
class Cause:
    """One way in which a deployment breaks.

    Attributes:
        name: one word, the answer of the exercise.
        stage: where in the chain it sits: "start", "input", "output", "labels", "model", "promise", "speed".
        evidence: the file of the folder that shows it.
        what: in words.
        fix: what to do about it.
        chapter: the number of the chapter that teaches it.
    """

    name: str
    stage: str
    evidence: str
    what: str
    fix: str
    chapter: str


def _all() -> tuple[Cause, ...]:
    return (
        Cause("old_runtime", "start", "device.log",
              tr("the file has operators newer than the device's runtime knows"),
              tr("update the runtime, or convert with an older version"), "05"),
        Cause("no_device", "start", "device.log",
              tr("the accelerator's library or device is not there"),
              tr("install the delegate's library, plug the device in, check permissions"), "02"),
        Cause("scaling", "input", "fed.npy",
              tr("pixels were divided, and the model divides again"),
              tr("feed raw pixels: the scaling is inside the model"), "03"),
        Cause("bgr", "input", "fed.npy",
              tr("red and blue are exchanged"),
              tr("cv2 reads BGR: turn it into RGB"), "10"),
        Cause("planes", "input", "fed.npy",
              tr("channels come first, where the model wants them last"),
              tr("hand over [height, width, channel]"), "07"),
        Cause("resize", "input", "fed.npy",
              tr("the picture is made smaller in another way than in training"),
              tr("use an image resize, the same as in training, and never np.resize"), "15"),
        Cause("truncated", "output", "outputs.npy",
              tr("probabilities are cut to whole numbers"),
              tr("dequantize to float, and round only what is shown"), "08"),
        Cause("no_batch", "output", "outputs.npy",
              tr("the batch is none: only its first picture is looked at"),
              tr("resize the input tensor, or run one picture after the other"), "13"),
        Cause("labels", "labels", "labels.txt",
              tr("the list of labels is shifted against the model's outputs"),
              tr("ship the labels with the model, and check their count"), "15"),
        Cause("stale_model", "model", "release.json",
              tr("the file on the device is not the one that was released"),
              tr("compare hashes when it is received"), "15"),
        Cause("calibration", "model", "calibration.npz",
              tr("the ranges were set with other values than the device feeds"),
              tr("calibrate with training pictures, as the device feeds them"), "04"),
        Cause("leak", "promise", "calibration.npz",
              tr("the pictures of the test were there when the model was made"),
              tr("measure on pictures that nothing was fitted to"), "04"),
        Cause("float_islands", "speed", "model.tflite",
              tr("operators in float lie between those in int8, and the accelerator stops there"),
              tr("convert fully to int8, and read the compiler's log"), "12"),
        Cause("throttled", "speed", "device.log",
              tr("the device gets hot, and lowers its clock"),
              tr("cool it, or ask it less often"), "09"),
        Cause("fallback", "speed", "device.log",
              tr("the fast kernels are not used, and nothing says so"),
              tr("check on the device what really runs, and how fast"), "09"),
    )  # fmt: skip


CAUSES: dict[str, Cause] = {cause.name: cause for cause in _all()}
