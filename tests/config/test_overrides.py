"""Overrides on top of overrides, as a running farm keeps them."""

from farm.config.load import compose
from farm.config.overrides import combined


def test_of_overrides_for_one_key_the_last_one_counts() -> None:
    before = ("match=ffa4", "worker.count=2", "seed=7")
    assert combined(before, ("worker.count=3", "match=duel")) == (
        "seed=7",
        "worker.count=3",
        "match=duel",
    )


def test_values_laid_over_a_section_leave_the_option_that_was_chosen() -> None:
    once = combined(("match=tiny", "worker.count=2"), ("match={cities:0}", "worker={games:8}"))
    assert once == ("match=tiny", "worker.count=2", "match={cities:0}", "worker={games:8}")
    assert combined(once, ("match={cities:1}", "match=duel")) == (
        "worker.count=2",
        "worker={games:8}",
        "match={cities:1}",
        "match=duel",
    )


def test_values_laid_over_a_section_need_no_file_that_has_their_keys() -> None:
    config = compose(["~worker.count", "worker={count:3}", "serve={groups:{eval:latest}}"]).config
    assert config.worker.count == 3
    assert config.serve.groups == {"eval": "latest"}
