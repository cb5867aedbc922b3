"""The smallest arena."""

import numpy as np
import pytest
from micro_models import installed

from edgelab import graph, targets
from edgelab.errors import InputError, TargetError
from edgelab.targets.micro import arena as micro_arena
from edgelab.targets.micro import session as micro_session


@installed
def test_the_smallest_arena_is_the_smallest(int8_path, nothing_left):
    arena = micro_arena.smallest_arena(int8_path)
    assert arena.smallest_bytes % micro_arena.STEP_BYTES == 0
    sizes = (arena.smallest_bytes, arena.smallest_bytes - micro_arena.STEP_BYTES)
    fits, too_small = micro_arena.attempts(int8_path, sizes)
    assert fits.outcome == "runs" and too_small.outcome != "runs"
    found = graph.read(int8_path)
    assert found.peak_activation_bytes <= arena.head_bytes < arena.smallest_bytes
    assert arena.head_bytes + arena.tail_bytes <= arena.smallest_bytes
    assert sum(used for _, used, _ in arena.parts) <= arena.tail_bytes
    assert micro_session.all_tensors_bytes(found) > arena.head_bytes, "tensors share memory"
    with targets.get("micro", arena_size_bytes=arena.smallest_bytes).open(int8_path) as session:
        session.run(np.zeros(session.inputs[0].shape, np.uint8))


@pytest.mark.parametrize("answer", [1, 2, 17, 100, 999])
@pytest.mark.parametrize("guess", [1, 16, 100, 101, 5000])
def test_the_search_needs_no_good_guess(answer, guess):
    tried = []

    def runs(size):
        tried.append(size)
        return size >= answer

    assert micro_arena._smallest(runs, guess) == answer
    assert len(tried) <= 30 and 0 not in tried


@installed
def test_an_arena_too_small_ends_the_child_and_not_us(int8_path, nothing_left):
    arena = micro_arena.smallest_arena(int8_path)
    sizes = [16, 1024, arena.smallest_bytes // 2, arena.smallest_bytes - 16]
    tried = micro_arena.attempts(int8_path, sizes)
    assert {one.outcome for one in tried} == {"crashed", "refused"}
    assert all("available" in one.detail for one in tried), "the allocator's last words"
    with pytest.raises(TargetError, match=r"died of|does not fit into an arena of 1,024 bytes"):
        targets.get("micro", arena_size_bytes=1024).open(int8_path)
    with pytest.raises(InputError, match="holds nothing"):
        micro_arena.attempts(int8_path, [4096, 0])
