"""The variants of the rules by name: as vectors, as files and as single keys of the config."""

import numpy as np
import pytest
from msgspec import structs

from farm.config.load import compose, conf_dir
from farm.config.schema import RulesConfig
from farm.engine import rules
from farm.engine.settings import settings
from farm.replay.model import Rules
from farm.worker.plan import make_plan

NAMES = sorted(rules.VARIANTS)


def vector_of(*overrides):
    return make_plan(compose(overrides).config, 0).settings.rules


def test_the_files_are_the_variants():
    assert sorted(file.stem for file in (conf_dir() / "rules").glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_to_the_vector_of_its_variant(name):
    assert vector_of(f"rules={name}").tolist() == rules.variant(name).tolist()


def test_the_official_rules_are_what_is_played_unless_something_else_is_said():
    assert vector_of().tolist() == rules.official().tolist()
    assert rules.of_names(structs.asdict(RulesConfig())).tolist() == rules.official().tolist()


def test_one_rule_of_a_variant_can_be_changed():
    changed = vector_of("rules=simple", "rules.general_trade=true", "rules.order=alternating")
    expected = rules.simple()
    expected[[rules.GENERAL_TRADE, rules.ORDER]] = 1, rules.ORDER_ALTERNATING
    assert changed.tolist() == expected.tolist()


def test_config_and_replays_name_the_rules_as_the_engine_does():
    assert tuple(field.name for field in structs.fields(RulesConfig)) == rules.NAMES
    assert Rules.__struct_fields__ == rules.NAMES
    for index, name in enumerate(rules.NAMES):
        assert getattr(rules, name.upper()) == index
    for code, name in enumerate(rules.ORDERS):
        assert getattr(rules, f"ORDER_{name.upper()}") == code


def test_a_variant_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="no variant 'simpel'; there are official, alternating"):
        rules.variant("simpel")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"order": "random"}, "no order 'random'; there are official, alternating, by_seat"),
        ({"ordre": "official"}, "missing or unknown: ordre"),
        ({"production_period": 0}, "production_period is 0; it must be 1 to"),
        ({"general_trade": 2}, "general_trade is 2; it must be 0 to 1"),
        ({"start_army": -1}, "start_army is -1"),
        ({"city_army_low": 51}, "city_army_low 51 is above city_army_high 50"),
    ],
)
def test_values_with_which_no_game_can_be_played_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        rules.of_names(structs.asdict(RulesConfig()) | changes)


@pytest.mark.parametrize("vector", [[0] * 13, np.zeros(14), np.zeros((1, 14), np.int32)])
def test_a_vector_of_another_shape_or_type_is_refused(vector):
    with pytest.raises(ValueError, match="no vector of 14 integers"):
        rules.checked(vector)


def test_settings_refuse_rules_with_which_no_game_can_be_played():
    broken = rules.official()
    broken[rules.LAND_PERIOD] = 0
    with pytest.raises(ValueError, match="land_period is 0"):
        settings(8, 8, 2, rules=broken)
