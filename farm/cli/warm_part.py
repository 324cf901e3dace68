"""One part of `farm warm` as a process: `python -m farm.cli.warm_part farm.worker.warm_up`."""

import importlib
import sys

from farm import jit


def main() -> None:
    """Compile the kernels of the module that is named; a cache that takes nothing costs a line."""
    importlib.import_module(sys.argv[1]).compile_kernels()
    try:
        jit.mark_warm()
    except OSError as error:
        print(f"farm warm: what was compiled is not kept: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
