"""Video: where frames come from, what is done to each, and where they go.

from edgelab import video

classifier = video.Classifier(session, class_names, region=video.largest_box)
stats = video.run(
    "scenes",               # or "camera:0", a file, "rtsp://…"
    classifier.infer,
    "notebook",             # or a file, "window", None
    preprocess=classifier.preprocess,
)
"""

from edgelab.video.classify import (
    Classifier,
    MovingRegion,
    Prediction,
    Prepared,
    largest_box,
    resize,
    square_crop,
)
from edgelab.video.overlay import overlay
from edgelab.video.pipeline import Live, Span, StageTime, VideoStats, draw_prediction, run, run_serial
from edgelab.video.sinks import Sink, open_sink
from edgelab.video.sources import Frame, Source, as_live, open_source

__all__ = [
    "Classifier",
    "Frame",
    "Live",
    "MovingRegion",
    "Prediction",
    "Prepared",
    "Sink",
    "Source",
    "Span",
    "StageTime",
    "VideoStats",
    "as_live",
    "draw_prediction",
    "largest_box",
    "open_sink",
    "open_source",
    "overlay",
    "resize",
    "run",
    "run_serial",
    "square_crop",
]
