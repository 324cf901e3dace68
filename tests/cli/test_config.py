"""`farm config`: text that is YAML, origins, checks, keys."""

import json

import pytest
import yaml

from farm.cli.config import config_text, yaml_text
from farm.config.check import check
from farm.config.convert import to_config
from farm.config.fields import field_index, fields
from farm.config.load import compose
from farm.config.schema import FarmConfig
from farm.errors import EXIT_CONFIG, EXIT_OK
from farm.policies.registry import POLICY_NAMES


def test_the_config_is_printed_with_origin_and_reload_class(run_farm):
    done = run_farm("config", "match=duel", "worker.count=3", "env=prod")
    assert done.returncode == EXIT_OK
    assert done.stderr == ""
    comments = {
        line.split(":")[0].strip(): line.split("# ")[1].split(maxsplit=1)
        for line in done.stdout.splitlines()
        if ": " in line and "# " in line and not line.startswith("#")
    }
    assert comments["count"] == ["live", "command line"]
    assert comments["seats"] == ["live", "match/duel.yaml"]
    assert comments["stop_s"] == ["live", "env/prod.yaml"]
    assert comments["instance"] == ["boot", "config.yaml"]


def test_origins_are_aligned(run_here):
    lines = run_here("config").stdout.splitlines()
    columns = {line.index("# ") for line in lines if "# " in line and not line.startswith("#")}
    assert len(columns) == 1


def test_groups_are_listed_with_the_option_taken_and_the_others(run_here):
    text = run_here("config", "match=duel").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("#   match ")]
    assert line.split()[2] == "duel"
    assert "ffa4" in line
    assert line.count("duel") == 1


@pytest.mark.parametrize(
    "override", ["env=prod", "match=ffa8", "seed=7", "serve.address='[::1]:5'"]
)
def test_the_printed_text_reads_back_as_the_same_config(override):
    composed = compose([override])
    tree = yaml.safe_load("\n".join(config_text(composed)))
    assert to_config(tree) == composed.config


@pytest.mark.parametrize(
    "value",
    [
        "20x20",
        "null",
        "yes",
        "1e3",
        "a: b",
        "#x",
        "",
        " ",
        "é",
        "-",
        "[a",
        "a,b",
        "1:30",
        5,
        0.2,
        None,
    ],
)
def test_values_read_back_from_one_line_of_yaml(value):
    assert yaml.safe_load(f"[{yaml_text(value)}]") == [value]
    assert yaml.safe_load(f"k: {yaml_text([value, value])}") == {"k": [value, value]}


def test_the_json_has_values_origins_choices_and_options(run_here):
    told = json.loads(run_here("config", "--json", "worker.count=3").stdout)
    assert told["config"]["worker"]["count"] == 3
    assert told["origins"]["worker.count"] == "command line"
    assert set(told["origins"]) == set(field_index())
    assert told["choices"]["env"] == "dev"
    assert "prod" in told["options"]["env"]
    assert told["shared_memory_bytes"] > 3 * told["config"]["ring"]["bytes"]
    assert to_config(told["config"]).worker.count == 3


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("worker.cuont=3", "worker.count"),
        ("worker.count=many", "worker.count"),
        ("ring.bytes=65536", "ring.bytes"),
        ("match.seats=[random]", "match.seats"),
        ("match.board=4x4", "match.cities"),
        ("env=prud", "prod"),
    ],
)
def test_a_wrong_config_fails_the_check_with_one_line(run_here, override, key):
    done = run_here("config", "--check", override)
    assert done.returncode == EXIT_CONFIG
    assert done.stdout == ""
    assert done.stderr.startswith("farm: ")
    assert key in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_good_config_passes_the_check(run_farm):
    done = run_farm("config", "--check", "env=prod")
    assert (done.returncode, done.stderr) == (EXIT_OK, "")
    assert "config is fine" in done.stdout


def test_an_impossible_config_is_shown_and_then_refused(run_farm):
    done = run_farm("config", "ring.bytes=65536")
    assert done.returncode == EXIT_CONFIG
    assert "bytes: 65536" in done.stdout
    assert "ring.bytes" in done.stderr


def test_every_key_is_explained(run_here):
    text = run_here("config", "--keys").stdout
    for field in fields():
        assert f"{field.key}=" in text
        assert field.doc in text
    told = {
        field["key"]: field for field in json.loads(run_here("config", "--keys", "--json").stdout)
    }
    assert told["ring.bytes"]["reload"] == "restart"
    assert told["ring.submitted_bytes"]["reload"] == "boot"


def test_the_defaults_shown_for_keys_can_be_given_back_as_overrides(run_here):
    text = run_here("config", "--keys").stdout
    overrides = [line for line in text.splitlines() if not line.startswith(" ")]
    assert compose(overrides).config == FarmConfig()
    check(compose(overrides).config, policies=POLICY_NAMES)
