import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from farm.shm.memcpy import copy_bytes


@numba.njit
def copy(to, to_at, source, source_at, n_bytes):
    copy_bytes(to, to_at, source, source_at, n_bytes)


@pytest.mark.parametrize("n_bytes", [0, 1, 7, 8, 100])
def test_exactly_the_bytes_asked_for_are_copied(n_bytes):
    source = np.arange(200, dtype=np.uint8)
    to = np.zeros(200, dtype=np.uint8)
    copy(to, 13, source, 57, n_bytes)
    expected = np.zeros(200, dtype=np.uint8)
    expected[13 : 13 + n_bytes] = source[57 : 57 + n_bytes]
    assert np.array_equal(to, expected)


def test_words_are_not_copied_as_bytes():
    with pytest.raises(TypingError, match="contiguous arrays of uint8"):
        copy(np.zeros(4, dtype=np.int64), 0, np.zeros(4, dtype=np.uint8), 0, 4)
