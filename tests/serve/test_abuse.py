"""What a hostile caller tries: too many streams at once, code in a config, others' memory."""

import re
import stat
from pathlib import Path

import grpc
import pytest

from farm.client import NO_RETRY, Client
from farm.config.convert import to_config
from farm.config.load import conf_dir
from farm.errors import ConfigError
from farm.rpc import names

ROOT = Path(__file__).resolve().parents[2]
RUNS_DATA = re.compile(
    r"^\s*(import|from)\s+(pickle|cPickle|dill|cloudpickle|marshal|shelve)\b"
    r"|\bhydra\.utils\b|\binstantiate\(|\byaml\.(unsafe_load|load)\(|allow_pickle=True",
    re.MULTILINE,
)


def test_a_flood_of_streams_gets_as_many_as_the_limit_and_the_service_goes_on(serve):
    serving = serve(max_streams=4)
    with grpc.insecure_channel(serving.address) as channel:
        open_stream = channel.unary_stream(names.method_path(names.STREAM_EXPERIENCES))
        flood = [open_stream(b"", timeout=20) for _ in range(100)]
        codes = []
        for stream in flood:
            try:
                next(stream)
                codes.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.append(error.code())
        assert codes.count(grpc.StatusCode.OK) == 4
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 96
        with Client(serving.address, retry=NO_RETRY) as client:
            assert client.info().instance
        for stream in flood:
            stream.cancel()
    serving.wait(lambda: serving.counter("streams") == 0, "the streams to end")


@pytest.mark.parametrize("section", [None, "match", "serve", "security"])
def test_a_config_cannot_name_code_to_run(section):
    evil = {"_target_": "os.system", "command": "true"}
    with pytest.raises(ConfigError, match=r"_target_"):
        to_config(evil if section is None else {section: evil})


def test_nothing_of_ours_turns_data_into_code():
    files = [*(ROOT / "farm").rglob("*.py"), *conf_dir().rglob("*.yaml")]
    assert len(files) > 100
    assert [str(file) for file in files if RUNS_DATA.search(file.read_text())] == []
    assert not [file for file in conf_dir().rglob("*.yaml") if "_target_" in file.read_text()]


def test_shared_memory_is_its_users_alone(serve):
    serving = serve()
    segments = list(Path("/dev/shm").glob(f"*{serving.instance}*"))
    assert len(segments) >= 3
    assert {stat.S_IMODE(one.stat().st_mode) for one in segments} == {0o600}
