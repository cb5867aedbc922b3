"""A release: a folder with models and all that an app needs to use them, and what a receiver finds in it.

`contents` says what is in it, `folder` writes it whole, `gate` asks a report whether the model is good
enough, and `receiver` is the program that whoever gets the folder runs, alone, in an interpreter of its own.
`apps` compares an app's source with it.
"""

from edgelab.release.apps import SKELETONS, constants, differences
from edgelab.release.checking import Verdict, gate, received
from edgelab.release.contents import card, describe, model_files, picture_files
from edgelab.release.folder import listing, picture_folders, read, write

__all__ = [
    "SKELETONS",
    "Verdict",
    "card",
    "constants",
    "describe",
    "differences",
    "gate",
    "listing",
    "model_files",
    "picture_files",
    "picture_folders",
    "read",
    "received",
    "write",
]
