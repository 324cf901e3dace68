"""The schema, the files in `conf/` and what `farm config` tells do not drift apart."""

from typing import get_args

import msgspec
import pytest
import yaml

from farm.config import convert
from farm.config.fields import (
    closest,
    field_index,
    fields,
    flatten,
    pick,
    sections,
    suggest,
    unknown_key,
)
from farm.config.load import conf_dir
from farm.config.schema import FarmConfig, Reload
from farm.errors import ConfigError

KEYS = [field.key for field in fields()]
TIME_UNITS = {"_s": "Seconds", "_ms": "Milliseconds"}


def default_of(group):
    """The option of a group that the defaults list takes."""
    listed = yaml.safe_load((conf_dir() / "config.yaml").read_text())["defaults"]
    return next(entry[group] for entry in listed if group in entry and entry != "_self_")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_documented_typed_and_has_a_reload_class(key):
    field = field_index()[key]
    assert len(field.doc) > 15
    assert field.doc.endswith(".")
    assert field.type_text
    assert field.reload in get_args(Reload)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_written_out_in_the_default_files(key):
    section, _, name = key.rpartition(".")
    primary = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    if not section or section in primary:
        assert name in (primary[section] if section else primary)
        return
    file = conf_dir() / f"{section}/{default_of(section)}.yaml"
    assert name in yaml.safe_load(file.read_text())


def test_the_reload_class_is_that_of_the_schema():
    assert field_index()["worker.count"].reload == "live"
    assert field_index()["ring.bytes"].reload == "restart"
    assert field_index()["ring.submitted_bytes"].reload == "boot"
    assert field_index()["worker.games"].reload == "restart"
    assert field_index()["serve.address"].reload == "boot"


def test_bounds_and_choices_are_told_in_words():
    told = {field.key: field.type_text for field in fields()}
    assert told["worker.count"] == "int, 0 to 64"
    assert told["serve.drain_s"] == "number, above 0 and at most 86,400"
    assert told["match.seats"] == "list of text"
    assert told["seed"].endswith("or null")
    assert "auto" in told["telemetry.format"]


def test_a_doc_is_the_docstring_under_the_field_on_one_line():
    assert field_index()["worker.steps"].doc == "Steps of a trajectory at most (T)."


def test_flatten_gives_every_key_its_value_as_plain_data():
    values = flatten(FarmConfig())
    assert list(values) == KEYS
    assert values["match.seats"] == ["expander", "random"]
    assert values["seed"] is None


def test_the_defaults_of_the_fields_are_those_of_the_schema():
    assert {field.key: field.default for field in fields()} == flatten(FarmConfig())


def test_sections_are_what_holds_keys():
    assert sections() == {
        "match",
        "rules",
        "reward",
        "worker",
        "ring",
        "serve",
        "games",
        "limits",
        "supervisor",
        "telemetry",
        "config",
        "security",
    }


def test_pick_refuses_a_key_that_the_tree_lacks():
    assert pick({"a": {"b": 1}}, "a.b") == 1
    with pytest.raises(KeyError):
        pick({"a": {"b": 1}}, "a.b.c")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("match.bord", "match.board"),
        ("board", "match.board"),
        ("workers.count", "worker.count"),
        ("serve.adress", "serve.address"),
        ("matsh", "match"),
        ("match.zzz", None),
        ("qqq", None),
    ],
)
def test_the_key_that_was_meant_is_suggested(key, meant):
    assert suggest(key) == meant


def test_an_unknown_key_without_a_neighbour_points_to_the_list():
    assert "farm config --keys" in unknown_key("qqq")
    assert closest("qqq", KEYS) is None


def test_a_config_survives_the_way_through_the_control_block():
    config = msgspec.convert({"match": {"board": "9x8"}, "seed": 3}, FarmConfig)
    assert msgspec.json.decode(msgspec.json.encode(config), type=FarmConfig) == config


def test_a_config_with_all_texts_at_their_longest_fits_the_control_block():
    control = pytest.importorskip("farm.shm.control")
    config = msgspec.convert({"match": {"seats": ["x" * 32] * 16}}, FarmConfig)
    assert len(msgspec.json.encode(config)) < control.MAX_CONFIG_BYTES


def test_plain_data_is_converted_without_hydra_too():
    assert convert.to_config({"worker": {"count": 2}}).worker.count == 2
    with pytest.raises(ConfigError) as caught:
        convert.to_config({"worker": {"cont": 2}})
    assert caught.value.key == "worker.cont"
    with pytest.raises(ConfigError) as caught:
        convert.to_config([])
    assert "keys with values" in caught.value.reason


@pytest.mark.parametrize("key", [key for key in KEYS if key.rpartition("_")[2] in {"s", "ms"}])
def test_a_time_says_its_unit(key):
    assert TIME_UNITS["_" + key.rpartition("_")[2]] in field_index()[key].doc
