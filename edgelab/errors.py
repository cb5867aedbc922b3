"""The errors a student meets: each says what happened, why, and what to do about it."""

from __future__ import annotations

from edgelab.texts import tr


class EdgelabError(Exception):
    """Base of every error raised on purpose. Shown as three short sentences.

    Attributes:
        what: what happened.
        why: the cause, as far as it is known.
        fix: what to do now.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        lines = [
            what,
            tr("Why: {why}", why=why) if why else "",
            tr("What to do: {fix}", fix=fix) if fix else "",
        ]
        super().__init__("\n".join(line for line in lines if line))


class DataError(EdgelabError):
    """A dataset, picture, video or archive that cannot be used."""


class ModelError(EdgelabError):
    """A model file that cannot be read, converted or run."""


class InputError(EdgelabError):
    """An argument of the wrong shape, type or range."""


class TargetError(EdgelabError):
    """An accelerator, its driver or its toolchain is missing or failed."""


class StorageError(EdgelabError):
    """A file could not be written, for want of space or permission."""
