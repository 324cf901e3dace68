import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["segment", "lease", "control", "ring_layout", "wake"])
def test_what_the_supervisor_uses_loads_neither_numba_nor_grpc(module):
    code = (
        f"import sys, farm.shm.{module};"
        "print([name for name in ('numba', 'llvmlite', 'grpc', 'farm.jit') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
