"""One instance on a data folder at a time; the lock goes with its process, however that ends."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import filelock

from edgelab.errors import StorageError
from edgelab.machine import artifacts
from edgelab.texts import tr


class FolderLock:
    """Holds a data folder from `take` until `close`.

    The system frees the lock when the process ends, so that a killed one leaves nothing to clean up.
    `instance.json` says who holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._lock = filelock.FileLock(self.folder / ".lock")
        self._about = self.folder / "instance.json"

    def take(self, address: str) -> None:
        """Take the folder.

        Args:
            address: where this instance can be looked at, for whoever comes second.

        Raises:
            StorageError: another instance holds it (says which), or the folder cannot be written.
        """
        is_new = not self.folder.exists()
        artifacts.make_folder(self.folder)
        try:
            if is_new:
                self.folder.chmod(0o700)  # token, passwords of cameras in messages, who was where
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            other = self.holder()
            raise StorageError(
                tr("Another instance uses {folder}.", folder=self.folder),
                why=tr(
                    "process {process} holds it since {since}, at {address}",
                    process=other.get("process", "?"),
                    since=other.get("since", "?"),
                    address=other.get("address", "?"),
                ),
                fix=tr("end that one, or give this one another data_folder and another port"),
            ) from error
        except OSError as error:
            raise artifacts.storage_error(error, self.folder / ".lock") from error
        self.tell(address)

    def tell(self, address: str) -> None:
        """Write down who holds the folder."""
        about = {
            "process": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "address": address,
        }
        with artifacts.atomic_path(self._about) as temporary:
            temporary.write_text(json.dumps(about), encoding="utf-8")

    def holder(self) -> dict:
        """Who holds it, as far as it is written down."""
        try:
            return dict(json.loads(self._about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def close(self) -> None:
        """Let the folder go."""
        if self._lock.is_locked:
            self._about.unlink(missing_ok=True)
            self._lock.release()
