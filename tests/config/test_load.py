"""Composition: what overrides and files come to, and what a wrong one is told."""

import os
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from msgspec import structs

from farm.config.fields import fields
from farm.config.load import (
    COMMAND_LINE,
    SCHEMA_DEFAULT,
    Composed,
    compose,
    compose_config,
    conf_dir,
)
from farm.config.schema import FarmConfig
from farm.errors import EXIT_CONFIG, ConfigError


@pytest.fixture(scope="module")
def plain() -> Composed:
    return compose()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(conf_dir(), tmp_path / "conf"))


def refused(*overrides: str, folders: list[Path] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, folders=folders or [])
    assert caught.value.exit_code == EXIT_CONFIG
    return caught.value


def test_without_overrides_the_files_say_what_the_schema_says(plain):
    assert plain.config == FarmConfig()


def test_every_key_has_an_origin(plain):
    assert set(plain.origins) == {field.key for field in fields()}


def test_overrides_need_no_quotes_for_lists_boards_addresses_and_null():
    composed = compose(
        [
            "match.seats=[expander,random,random]",
            "match.board=12x30",
            "seed=null",
            "serve.address=0.0.0.0:0",
            "worker.count=4",
        ]
    )
    match = composed.config.match
    assert match.seats == ("expander", "random", "random")
    assert (match.size, match.n_cells, match.n_seats) == ((12, 30), 360, 3)
    assert composed.config.seed is None
    assert composed.config.serve.address == "0.0.0.0:0"
    assert composed.config.worker.count == 4


def test_an_integer_stands_for_a_number_of_seconds():
    assert compose(["serve.drain_s=7"]).config.serve.drain_s == 7.0


def test_the_environment_lays_its_values_and_choices_over_the_groups():
    composed = compose(["env=prod"])
    assert composed.config.telemetry.format == "json"
    assert composed.choices["ring"] == "large"
    assert composed.choices["env"] == "prod"


def test_a_group_chosen_on_the_command_line_wins_over_the_environments_choice():
    composed = compose(["env=prod", "ring=small"])
    assert composed.choices["ring"] == "small"
    assert composed.origins["ring.bytes"] == "ring/small.yaml"


def test_origins_tell_command_line_environment_option_and_parent_file_apart():
    origins = compose(["env=prod", "match=duel", "match.max_turns=9", "seed=5"]).origins
    assert origins["match.max_turns"] == COMMAND_LINE
    assert origins["seed"] == COMMAND_LINE
    assert origins["serve.drain_s"] == "env/prod.yaml"
    assert origins["ring.bytes"] == "ring/large.yaml"
    assert origins["match.seats"] == "match/duel.yaml"
    assert origins["match.board"] == "match/default.yaml"
    assert origins["instance"] == "config.yaml"


def test_a_mapping_as_override_is_the_origin_of_the_keys_it_names_only():
    composed = compose(["match={board: 9x9, cities: 3}"])
    assert composed.config.match.board == "9x9"
    assert composed.origins["match.board"] == COMMAND_LINE
    assert composed.origins["match.seats"] == "match/default.yaml"


def test_groups_of_the_command_line_are_laid_over_those_of_the_files(conf):
    file = conf / "serve" / "default.yaml"
    file.write_text(file.read_text().replace("groups: {}", "groups: {trainer: lossless}"))
    composed = compose(["serve.groups={eval:latest,probe:sample:0.1}"], folders=[conf])
    expected = {"trainer": "lossless", "eval": "latest", "probe": "sample:0.1"}
    assert composed.config.serve.groups == expected
    assert composed.origins["serve.groups"] == COMMAND_LINE
    assert compose(["~serve.groups"], folders=[conf]).config.serve.groups == {}


@pytest.mark.parametrize("override", ["~match.board", "~match"])
def test_what_is_deleted_falls_back_to_the_schema(override):
    composed = compose([override])
    assert composed.origins["match.board"] == SCHEMA_DEFAULT
    assert composed.config.match == FarmConfig().match


def test_a_key_that_no_file_has_falls_back_to_the_schema(conf):
    (conf / "ring" / "default.yaml").write_text("")
    composed = compose(folders=[conf])
    assert composed.origins["ring.bytes"] == SCHEMA_DEFAULT
    assert composed.config.ring == FarmConfig().ring


def test_options_are_listed_by_group(plain):
    assert plain.options["env"] == ("dev", "prod", "staging")
    assert set(plain.choices) == set(plain.options)


BAD_OVERRIDES = [
    # unknown keys, added or not
    ("match.bord=9x9", "match.bord", "did you mean match.board?"),
    ("+match.bord=9x9", "match.bord", "did you mean match.board?"),
    ("++match.bord=9x9", "match.bord", "no such key"),
    ("+x=y", "x", "no such key"),
    ("count=3", "count", "did you mean worker.count?"),
    ("match={bord: 9x9}", "match.bord", "did you mean match.board?"),
    ("match.board.x=3", "match.board.x", "no such key"),
    ("match.seats.0=random", "match.seats.0", "no such key"),
    ("defaults=3", "defaults", "no such key"),
    ("hydra.run.dir=x", "hydra.run.dir", "no effect"),
    ("hydra/launcher=joblib", "hydra/launcher", "no effect"),
    # types and bounds
    ("worker.count=many", "worker.count", "int, 0 to 64"),
    ("worker.count=1.5", "worker.count", "got 1.5"),
    ("worker.count=true", "worker.count", "got true"),
    ("worker.count=null", "worker.count", "got null"),
    ("worker.count=", "worker.count", "got ''"),
    ("worker.count=-1", "worker.count", "got -1"),
    ("worker.count=65", "worker.count", "got 65"),
    ("worker.count=[1]", "worker.count", "got [1]"),
    ("worker.count={a: 1}", "worker.count", "got {'a': 1}"),
    ("match.seats=random", "match.seats", "list of text"),
    ("match.seats=[random,7]", "match.seats", "got 7 as item 1"),
    ("match.board=big", "match.board", "Height x width"),
    ("instance=17", "instance", "Quote it"),
    ("instance=Blue_1", "instance", "got 'Blue_1'"),
    ("serve.drain_s=nan", "serve.drain_s", "got nan"),
    ("serve.drain_s=inf", "serve.drain_s", "got inf"),
    ("serve.address=nowhere", "serve.address", "Host and port"),
    ("seed=-1", "seed", "got -1"),
    ("serve.groups={eval:latst}", "serve.groups", "got {'eval': 'latst'}"),
    ("serve.groups={eval:'sample:0'}", "serve.groups", "sample:0.1"),
    ("serve.groups={eval:'sample:1.5'}", "serve.groups", "sample:0.1"),
    ("serve.groups={Eval:latest}", "serve.groups", "of a-z"),
    ("serve.groups={eval:7}", "serve.groups", "mapping of text to text"),
    ("serve.groups=latest", "serve.groups", "mapping of text to text"),
    ("serve.groups={" + ",".join(f"g{k}:latest" for k in range(17)) + "}", "serve.groups", "16"),
    ("telemetry.level=loud", "telemetry.level", "debug | error | info | warning"),
    # groups
    ("env=prud", "env", "did you mean prod? (its options are dev, prod, staging)"),
    ("match=null", "match", "one option is wanted"),
    ("worker=[default,four]", "worker", "one option is wanted"),
    ("match=../env/prod", "match", "no option"),
    ("match@other=duel", "match", "one place"),
    ("+match=duel", "match", "write match=duel"),
    ("matc=duel", "matc", "did you mean match?"),
    # grammar
    ("match.board", "match.board", "cannot read"),
    ("match.seats=[a", "match.seats", "cannot read"),
    ("serve.address=[::1]:5", "serve.address", "cannot read"),
    ("worker.count=1,2", "worker.count", "several values"),
    ("worker.count=range(1,3)", "worker.count", "several values"),
    ("~worker.count=3", "worker.count", "write ~worker.count"),
    ("=3", "", "no key"),
    ("", "", "cannot read"),
    # interpolations
    ("match.board=${nope}", "match.board", "nope"),
    ("match.board=${match.board}", "match.board", "Recursive"),
    ("match.board=${oc.env:FARM_TEST_UNSET}", "match.board", "FARM_TEST_UNSET"),
    ("match.board=???", "match.board", "Missing"),
]


@pytest.mark.parametrize(("override", "key", "reason"), BAD_OVERRIDES)
def test_a_bad_override_is_refused_by_its_key(override, key, reason):
    error = refused(override)
    assert error.key == key
    assert reason in error.reason


def test_a_wrong_value_names_the_file_it_came_from(conf):
    (conf / "match" / "duel.yaml").write_text("defaults:\n  - default\nboard: 7\n")
    error = refused("match=duel", folders=[conf])
    assert error.key == "match.board"
    assert "got 7 from match/duel.yaml" in error.reason


BAD_FILES = [
    ("match/default.yaml", "board: [", "", "match/default.yaml:1:9: broken YAML"),
    ("match/default.yaml", "a: 1\nb: c: d", "", "match/default.yaml:2:5: broken YAML"),
    (
        "match/default.yaml",
        "board: 9x9\nboard: 8x8",
        "",
        "default.yaml:2:1: broken YAML: found dup",
    ),
    ("match/default.yaml", "board:\n\t- x", "", "match/default.yaml:2:1"),
    ("match/default.yaml", "\0", "", "match/default.yaml: broken YAML"),
    ("match/default.yaml", "17", "", "match/default.yaml: "),
    ("match/default.yaml", "board: !!python/object:os.system x", "", "match/default.yaml:1:8"),
    ("match/default.yaml", "- a", "match", "got ['a'] from match/default.yaml"),
    ("match/default.yaml", "bord: 9x9", "match.bord", "(match/default.yaml); did you mean"),
    ("match/default.yaml", "_target_: os.system", "match._target_", "no such key"),
    ("match/default.yaml", "board: ${", "board", "match/default.yaml: "),
    ("match/default.yaml", "board: ${nope}", "match.board", "nope"),
    ("match/default.yaml", "board: &a [*a]", "", "hold themselves"),
    ("match/default.yaml", "defaults: [default]", "", "hold themselves"),
    ("match/default.yaml", "defaults: 5", "", "'match/default'"),
    ("match/default.yaml", "# @package a.b\nboard: 9x9", "a", "no such key"),
    ("env/dev.yaml", "# @package _global_\nmatch: 3", "match", "got 3 from env/dev.yaml"),
    ("env/dev.yaml", "match: {board: 9x9}", "env", "no such key"),
    ("config.yaml", "defaults:\n  - match: gone", "match", "there are default, duel"),
    ("config.yaml", "defaults:\n  - match: duel\nseed: 1", "", "missing `_self_`"),
    ("config.yaml", "hydra:\n  searchpath: [/nowhere]", "", "not available"),
    ("config.yaml", "- a", "", "config.yaml: keys with values"),
]


@pytest.mark.parametrize(("file", "text", "key", "reason"), BAD_FILES)
def test_a_bad_file_is_refused_by_its_name_or_key(conf, file, text, key, reason):
    (conf / file).write_text(text)
    error = refused(folders=[conf])
    assert error.key == key
    assert reason in error.reason


def test_a_file_that_is_no_text_is_named(conf):
    (conf / "ring" / "default.yaml").write_bytes(b"\xff\xfe")
    assert "ring/default.yaml: 'utf-8'" in refused(folders=[conf]).reason


def test_a_folder_without_a_config_is_named(tmp_path):
    assert str(tmp_path) in refused(folders=[tmp_path]).reason


def test_a_second_folder_supplies_the_options_the_first_lacks(tmp_path):
    shutil.copy(conf_dir() / "config.yaml", tmp_path)
    (tmp_path / "match").mkdir()
    (tmp_path / "match" / "default.yaml").write_text("board: 9x9\n")
    composed = compose(["worker=four"], folders=[tmp_path, conf_dir()])
    assert composed.config.match.board == "9x9"
    assert composed.config.worker.count == 4
    assert composed.origins["match.board"] == str(tmp_path / "match" / "default.yaml")
    assert composed.origins["worker.count"] == "worker/four.yaml"


def test_folders_without_a_config_add_options_and_replace_files_the_first_wins(tmp_path, conf):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, steps, turns in ((first, None, 71), (second, 13, 72)):
        (folder / "match").mkdir(parents=True)
        (folder / "match" / "default.yaml").write_text(f"max_turns: {turns}\n")
        if steps:
            (folder / "worker").mkdir()
            (folder / "worker" / "mine.yaml").write_text(f"steps: {steps}\n")
    folders = [first, second, conf]
    composed = compose(["worker=mine"], folders=folders)
    assert (composed.config.match.max_turns, composed.config.worker.steps) == (71, 13)
    assert composed.origins["match.max_turns"] == f"{first}/match/default.yaml"
    assert composed.origins["worker.steps"] == f"{second}/worker/mine.yaml"
    assert "mine" in composed.options["worker"]
    assert composed.config.telemetry == compose().config.telemetry


@pytest.mark.parametrize("overrides", [(), ("match=duel", "worker.count=3", "~serve.groups")])
def test_the_config_alone_is_the_same_as_with_its_origins(overrides, tmp_path, conf):
    for folders in ([], [conf], [tmp_path, conf]):
        assert (
            compose_config(overrides, folders=folders) == compose(overrides, folders=folders).config
        )


def test_an_error_of_the_config_alone_names_the_file_too(conf):
    (conf / "match" / "duel.yaml").write_text("max_turns: many\n")
    with pytest.raises(ConfigError, match=r"match/duel\.yaml") as caught:
        compose_config(["match=duel"], folders=[conf])
    assert caught.value.key == "match.max_turns"


def test_a_folder_that_is_not_there_is_named(tmp_path, conf):
    gone = tmp_path / "gone"
    assert f"no folder {gone}" in refused(folders=[gone, conf]).reason


def test_a_file_that_nothing_would_read_is_named(tmp_path, conf):
    (tmp_path / "mine.yaml").write_text("seed: 3\n")
    assert f"{tmp_path}/mine.yaml would not be read" in refused(folders=[tmp_path, conf]).reason


def test_a_key_that_the_users_file_leaves_out_can_be_set_all_the_same(tmp_path, conf):
    (tmp_path / "match").mkdir()
    (tmp_path / "match" / "mine.yaml").write_text("board: 9x9\n")
    overrides = ["match=mine", "match.max_turns=71", "match.seats=[hunter,random]"]
    composed = compose(overrides, folders=[tmp_path, conf])
    assert (composed.config.match.board, composed.config.match.max_turns) == ("9x9", 71)
    assert composed.config.match.seats == ("hunter", "random")
    assert composed.origins["match.max_turns"] == COMMAND_LINE


@pytest.mark.parametrize("text", ["+worker.count=3", "++worker.count=3"])
def test_a_value_that_a_file_has_may_be_written_as_an_addition(text):
    assert compose([text]).config.worker.count == 3


def test_locks_of_editors_and_versions_of_a_configuration_manager_are_no_files_of_the_config(conf):
    (conf / ".#config.yaml").symlink_to("somebody@somewhere.17")
    (conf / "match" / ".#default.yaml").symlink_to("somebody@somewhere.17")
    (conf / "..data").mkdir()
    (conf / "..data" / "config.yaml").write_text("a: [")
    composed = compose(folders=[conf])
    assert ".#default" not in composed.options["match"]
    assert "..data" not in composed.options
    (conf / "worker" / "default.yaml").write_text("coutn: 3\n")
    assert refused(folders=[conf]).key == "worker.coutn"


@pytest.mark.parametrize("broken", ["a: [", "a: !!python/object:os.system x", "\0"])
def test_a_broken_file_that_nobody_chose_does_not_hide_what_is_wrong(conf, broken):
    (conf / "serve" / "experimental.yaml").write_text(broken)
    assert compose(folders=[conf]).config == FarmConfig()
    error = refused("match.board=${nope}", folders=[conf])
    assert error.key == "match.board"


def test_what_may_not_be_read_is_refused_and_not_taken_for_absent(tmp_path, conf, monkeypatch):
    folder = tmp_path / "etc"
    (folder / "match").mkdir(parents=True)
    closed = {folder / "match"}
    monkeypatch.setattr(os, "access", lambda path, _mode: path not in closed)  # root may read all
    assert f"{folder}/match: this user may not" in refused(folders=[folder, conf]).reason
    closed = {folder}
    assert f"{folder}: this user may not" in refused(folders=[folder, conf]).reason


@pytest.mark.parametrize("link", ["config.yaml", "match", "match/default.yaml"])
def test_a_symlink_that_leads_nowhere_is_refused_and_not_taken_for_absent(tmp_path, conf, link):
    folder = tmp_path / "etc"
    (folder / link).parent.mkdir(parents=True)
    (folder / link).symlink_to("gone")
    assert f"{folder}/{link}: a symlink to gone" in refused(folders=[folder, conf]).reason


def test_hydra_as_used_by_someone_else_in_the_process_is_put_back():
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        theirs = GlobalHydra.instance().hydra
        compose()
        refused("x=y")
        assert GlobalHydra.instance().hydra is theirs
    assert not GlobalHydra.instance().is_initialized()


def test_hydra_is_left_as_it_was_found_after_an_error(conf):
    (conf / "config.yaml").write_text("a: [")
    refused(folders=[conf])
    assert not GlobalHydra.instance().is_initialized()


def test_threads_that_compose_at_once_do_not_disturb_each_other():
    counts = range(1, 7)
    with ThreadPoolExecutor(3) as pool:
        composed = pool.map(lambda n: compose([f"worker.count={n}"]), counts)
        assert [one.config.worker.count for one in composed] == list(counts)


def test_staging_is_production_with_logs_that_tell_more():
    staging, production = (
        structs.asdict(compose([f"env={env}"]).config) for env in ("staging", "prod")
    )
    differ = {part for part in staging if staging[part] != production[part]}
    assert differ == {"telemetry"}
    assert staging["telemetry"] == structs.replace(production["telemetry"], level="debug")


def test_composing_warns_of_nothing():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        compose(["env=staging"])
    assert [str(one.message) for one in seen] == []


def test_the_config_in_an_installed_package_is_found_first(monkeypatch, tmp_path):
    load = sys.modules["farm.config.load"]
    package = tmp_path / "farm"
    shutil.copytree(conf_dir(), package / "conf")
    monkeypatch.setattr(load, "_PACKAGE", package)
    assert conf_dir() == package / "conf"
    shutil.rmtree(package / "conf")
    with pytest.raises(ConfigError, match="install farm again"):
        conf_dir()
