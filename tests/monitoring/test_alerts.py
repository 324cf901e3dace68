"""The alert rules: of metrics that exist, valid, and each with a case of either kind."""

import subprocess
from pathlib import Path

import pytest
import yaml
from promtool import needs_promtool, promtool

CASES = Path(__file__).with_name("alerts_test.yml")
RULES = Path(__file__).resolve().parents[2] / "tools" / "monitoring" / "alerts.yml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}


def checks():
    return [
        check
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for check in test["alert_rule_test"]
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_goes_by_metrics_that_are_exported(name, names_in, exported):
    named = names_in(ALERTS[name]["expr"])
    assert named <= exported
    assert named or name == "FarmScrapeDown"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_happened_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "warn", "info"}
    assert "$labels" in rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > 40


@pytest.mark.parametrize("name", ALERTS)
def test_there_is_a_case_in_which_an_alert_fires_and_one_in_which_it_does_not(name):
    expected = [bool(check["exp_alerts"]) for check in checks() if check["alertname"] == name]
    assert set(expected) == {True, False}


@needs_promtool
def test_the_rules_are_valid():
    promtool("check", "rules", RULES)


@needs_promtool
def test_every_case_comes_out_as_it_says():
    promtool("test", "rules", CASES)


@needs_promtool
@pytest.mark.parametrize("name", ALERTS)
def test_a_case_fails_once_its_alert_is_another(name, tmp_path):
    """The cases hold the rules: without an alert, or with one that never fires, they fail."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        if rule["alert"] == name:
            rule["expr"] = "vector(0) > 1"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    cases = yaml.safe_load(CASES.read_text())
    cases["rule_files"] = ["alerts.yml"]
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    with pytest.raises(subprocess.CalledProcessError):
        promtool("test", "rules", tmp_path / "cases.yml")


@needs_promtool
def test_the_example_of_a_config_is_valid_and_names_the_rules():
    config = RULES.with_name("prometheus.yml")
    promtool("check", "config", config)
    assert yaml.safe_load(config.read_text())["rule_files"] == [RULES.name]
