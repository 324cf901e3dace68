"""Build hook: generates `farm/rpc/v1/*_pb2.py` from `proto/` before anything is built.

The generator is pinned in `pyproject.toml` to an older grpcio-tools on purpose: its output runs on
every protobuf runtime from 6.31 on, while newer output refuses older runtimes.

Run by hand after editing a `.proto` file: `python tools/build_proto.py`.
"""

from pathlib import Path

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, where only grpcio-tools is needed
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent.parent


class ProtoBuildHook(BuildHookInterface):
    """Hatchling's entry into `generate`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict) -> None:
        """Generate before the files of the build are collected."""
        del version, build_data
        generate(ROOT)


def generate(root: Path) -> None:
    """Write the message modules and their type stubs next to `farm/rpc/v1/__init__.py`.

    An sdist carries the generated code too, so a missing `proto/` folder with code in place is
    no error.

    Raises:
        RuntimeError: protoc refused a file; its own message is on standard error.
    """
    from grpc_tools import protoc  # noqa: PLC0415 - absent when only the metadata is asked for

    sources = sorted((root / "proto").rglob("*.proto"))
    if not sources and (root / "farm" / "rpc" / "v1" / "experience_pb2.py").exists():
        return
    arguments = [
        "protoc",
        f"--proto_path={root / 'proto'}",
        f"--python_out={root}",
        f"--pyi_out={root}",
        *map(str, sources),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed on {', '.join(map(str, sources))}")


if __name__ == "__main__":
    generate(ROOT)
