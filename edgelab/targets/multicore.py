"""Several sessions at once: one worker and one queue for each, so that no two threads ever share a session.

A runtime object is made for one thread at a time. On an NPU with three cores one opens three sessions, one
per core; anything else with the protocol of a session can be run like that, too.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import InputError
from edgelab.runtime import Session, predict
from edgelab.texts import tr

WAITING = 2  # per session: one image at work and one in the queue, so that no core waits for the next


@dataclass(frozen=True)
class MultiRun:
    """What several sessions made of the images, together.

    Attributes:
        outputs: float32 `[N, classes]`, in the order of the images.
        counts: images that each session did.
        duration_s: from the first image handed out to the last result.
    """

    outputs: np.ndarray
    counts: tuple[int, ...]
    duration_s: float

    @property
    def throughput_per_s(self) -> float:
        """Images per second."""
        return len(self.outputs) / self.duration_s if self.duration_s else 0.0

    def __str__(self) -> str:
        shares = " + ".join(map(str, self.counts))
        return f"{shares} images on {len(self.counts)} sessions, {self.throughput_per_s:,.0f} images/s"


def run_on_all(sessions: Sequence[Session], images: np.ndarray, *, progress: bool = False) -> MultiRun:
    """Run images through several sessions of the same model at once.

    An image goes to whichever session has room, so a slow one gets fewer.

    Args:
        sessions: opened separately; the same one twice is refused.
        images: uint8 `[N, H, W, 3]`, as for `targets.base.predict`.
        progress: show a progress bar.

    Returns:
        Outputs in the order of the images, however the sessions overtook each other.

    Raises:
        InputError: no session, or one that is there twice.
        EdgelabError: the first failure of a session; images not begun are not begun any more.
    """
    if not sessions or len({id(session) for session in sessions}) < len(sessions):
        raise InputError(
            tr("{count} sessions were given, of which some are the same.", count=len(sessions))
            if sessions
            else tr("No session."),
            why=tr("a session serves one thread at a time"),
            fix=tr("open one session per core"),
        )
    room: queue.Queue[int] = queue.Queue()
    for place in list(range(len(sessions))) * WAITING:
        room.put(place)
    counts = [0] * len(sessions)
    futures: list[Future] = []
    started = time.perf_counter()
    with ExitStack() as stack:
        workers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in sessions]
        for index in tqdm(range(len(images)), disable=not progress, desc="inference", leave=False):
            place = room.get()
            if any(future.done() and future.exception() for future in futures[-WAITING * len(sessions) :]):
                break
            counts[place] += 1
            future = workers[place].submit(predict, sessions[place], images[index : index + 1])
            future.add_done_callback(partial(_make_room, room, place))
            futures.append(future)
    outputs = [future.result() for future in futures]
    duration_s = time.perf_counter() - started
    made = np.concatenate(outputs) if outputs else predict(sessions[0], images[:0])
    return MultiRun(made, tuple(counts), duration_s)


def _make_room(room: queue.Queue[int], place: int, _: Future) -> None:
    room.put(place)
