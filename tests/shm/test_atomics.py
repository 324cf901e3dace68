import re

import numba
import numpy as np
import pytest
from numba.core import types
from numba.core.errors import TypingError

from farm.shm import atomics, ring

MEM = types.Array(types.uint8, 1, "C")
CURSOR = types.Array(types.int64, 1, "C")
INT = types.int64


def llvm(function, *signature):
    """Optimised LLVM IR of a function, compiled afresh: the cache cannot vouch for the source."""
    compiled = numba.njit(getattr(function, "py_func", function), error_model="numpy", nogil=True)
    compiled.compile(signature)
    return compiled.inspect_llvm(compiled.signatures[0])


def atomic_stores(ir):
    return re.findall(r"store atomic i64 .*", ir)


def test_load_acquire_is_an_atomic_aligned_load():
    ir = llvm(lambda mem: atomics.load_acquire(mem, 8), MEM)
    assert re.search(r"load atomic i64, .* acquire, align 8", ir)


def test_store_release_is_an_atomic_aligned_store():
    ir = llvm(lambda mem, value: atomics.store_release(mem, 8, value), MEM, INT)
    assert re.search(r"store atomic i64 .* release, align 8", ir)


def test_fetch_add_is_one_atomic_instruction():
    ir = llvm(lambda mem: atomics.fetch_add(mem, 8, 3), MEM)
    assert re.search(r"atomicrmw add ptr .*, i64 3 acq_rel", ir)


def _fence_once():
    atomics.fence()


def test_fence_is_sequentially_consistent():
    assert "fence seq_cst" in llvm(_fence_once)


def test_the_tail_is_loaded_with_acquire():
    assert re.search(r"load atomic i64, .* acquire, align 8", llvm(ring.load_tail, MEM))


def test_the_head_is_stored_with_release():
    stores = atomic_stores(llvm(ring.release, MEM, INT))
    assert len(stores) == 1
    assert "release, align 8" in stores[0]


def test_a_publish_is_thirteen_release_stores_and_no_plain_store_to_the_ring():
    stores = atomic_stores(llvm(ring.publish, MEM, CURSOR, INT))
    assert len(stores) == 13
    assert all("release, align 8" in store for store in stores)


def test_a_claim_loads_the_head_with_acquire_and_stores_its_two_attempts():
    ir = llvm(ring.try_claim, MEM, CURSOR, INT, INT)
    assert re.search(r"load atomic i64, .* acquire, align 8", ir)
    assert len(atomic_stores(ir)) == 2


@pytest.mark.parametrize(
    ("function", "signature"), [(ring.park, (MEM, CURSOR, INT)), (ring.is_parked, (MEM,))]
)
def test_parking_and_asking_for_it_both_fence(function, signature):
    assert "fence seq_cst" in llvm(function, *signature)


def test_a_loop_loads_anew_each_time_round():
    def add_up(mem, n_times):
        total = 0
        for _ in range(n_times):
            total += atomics.load_acquire(mem, 0)
        return total

    def add_up_plainly(mem, n_times):
        total = 0
        for _ in range(n_times):
            total += atomics.load_word(mem, 0)
        return total

    assert "load atomic" in _loop_blocks(llvm(add_up, MEM, INT))
    # The reason for all this: a plain load is moved out of the loop.
    assert "load i64" not in _loop_blocks(llvm(add_up_plainly, MEM, INT))


def _loop_blocks(ir):
    """The text of the blocks of the first function that a branch backwards encloses."""
    body = ir.split("\ndefine ", 2)[1].split("\n}", 1)[0]
    blocks = re.split(r"\n(?=[\w.$]+:)", body)
    place = {block.split(":", 1)[0]: index for index, block in enumerate(blocks)}
    loops = []
    for index, block in enumerate(blocks):
        targets = [
            place.get(label, len(blocks)) for label in re.findall(r"label %([\w.$]+)", block)
        ]
        loops += [text for first in targets if first <= index for text in blocks[first : index + 1]]
    return "\n".join(loops)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_words_of_every_array_type_work_from_python(dtype):
    words = np.zeros(64 // np.dtype(dtype).itemsize, dtype=dtype)
    at = 8 // words.itemsize
    assert atomics.add_to_cell(words, at, 5) == 0
    assert atomics.add_to_cell(words, at, 2**62) == 5
    assert words.view(np.int64)[1] == 2**62 + 5


def test_words_wrap_like_unsigned_ones():
    words = np.full(1, 2**64 - 1, dtype=np.uint64)
    assert atomics.add_to_cell(words, 0, 2) == -1
    assert words[0] == 1


def test_an_array_of_another_type_does_not_compile():
    with pytest.raises(TypingError, match="contiguous array of uint8"):
        atomics.add_to_cell(np.zeros(4, dtype=np.float64), 0, 1)


def test_a_read_only_array_can_be_loaded_and_not_stored():
    words = np.zeros(1, dtype=np.int64)
    words.flags.writeable = False
    load = numba.njit(lambda mem: atomics.load_acquire(mem, 0))
    assert load(words) == 0
    with pytest.raises(TypingError, match="read-only"):
        atomics.add_to_cell(words, 0, 1)
