"""What a new config would change in a running farm."""

import pytest

from farm.config.fields import fields, flatten
from farm.config.load import compose
from farm.config.reload import Change, ReloadPlan, plan_reload
from farm.config.schema import FarmConfig
from farm.errors import ConfigError


def plan(*overrides):
    return plan_reload(compose().config, compose(overrides).config)


def test_the_same_config_changes_nothing():
    assert plan() == ReloadPlan()


def test_changes_are_named_with_both_values_and_when_they_apply_in_the_order_of_the_schema():
    assert plan("worker.games=64", "match.seats=[hunter,random]", "worker.count=3").changes == (
        Change("match.seats", ["expander", "random"], ["hunter", "random"], "live"),
        Change("worker.count", 1, 3, "live"),
        Change("worker.games", 128, 64, "restart"),
    )


def test_only_the_section_of_a_restart_field_is_restarted():
    changed = plan("worker.games=64", "serve.lease_s=2")
    assert changed.restarts("worker")
    assert not changed.restarts("serve")
    assert plan("serve.groups={a: lossless}").restarts("serve")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("instance=blue", "instance: cannot become 'blue' in a running farm: 'default' stays"),
        ("seed=7", "seed: cannot become 7 in a running farm: null stays in force"),
        ("ring.submitted_bytes=65536", "ring.submitted_bytes: cannot become 65536"),
    ],
)
def test_a_change_that_needs_a_start_is_refused_whatever_else_changes(override, message):
    with pytest.raises(ConfigError, match=message):
        plan("worker.count=2", override)


def test_every_key_that_differs_is_in_the_plan():
    """Against the values themselves: what is not in the plan is the same."""
    old, new = (
        compose().config,
        compose(["match=ffa8", "serve=low_latency", "reward=shaped"]).config,
    )
    before, after = flatten(old), flatten(new)
    differing = [field.key for field in fields() if before[field.key] != after[field.key]]
    assert [change.key for change in plan_reload(old, new).changes] == differing
    assert len(differing) > 8


def test_a_plan_goes_back_as_it_came():
    old, new = FarmConfig(), compose(["match=duel"]).config
    there, back = plan_reload(old, new).changes, plan_reload(new, old).changes
    assert [(one.key, one.new, one.old, one.when) for one in back] == [
        (one.key, one.old, one.new, one.when) for one in there
    ]
