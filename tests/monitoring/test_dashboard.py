"""The dashboard: what its generator makes, sound as far as can be told without Grafana."""

import importlib.util
import itertools
import json
import re

import pytest
import yaml
from promtool import needs_promtool, promtool

UNITS = {"bool_yes_no", "bytes", "Bps", "none", "ops", "percentunit", "reqps", "s", "short"}
"""Ids that Grafana has (packages/grafana-data/src/valueFormats/categories.ts)."""
KINDS = {"row", "stat", "timeseries"}
COUNTED_OTHERWISE = {
    "farm_served_records_total",
    "farm_acknowledged_records_total",
    "farm_group_settled_experiences_total",
}
"""Not shown: the same is shown in experiences, or in records."""
SECTIONS = ["Throughput", "Delivery", "Rings", "Games", "Children", "Resources"]


@pytest.fixture(scope="module")
def dashboard(folder):
    return json.loads((folder / "farm.json").read_text())


@pytest.fixture(scope="module")
def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def exprs(panels):
    return [target["expr"] for panel in panels for target in panel["targets"]]


def as_prometheus_gets_it(expr):
    """With the variables filled in."""
    return expr.replace("$__rate_interval", "1m").replace("$instance", ".*")


def test_the_file_is_what_its_generator_makes(folder):
    path = folder / "dashboard.py"
    spec = importlib.util.spec_from_file_location("dashboard_of_the_farm", path)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert (folder / "farm.json").read_text() == generator.text()


def test_every_section_is_a_row_with_panels_below_it(dashboard):
    kinds = [panel["type"] for panel in dashboard["panels"]]
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == SECTIONS
    assert set(kinds) == KINDS
    assert all(below != "row" for kind, below in itertools.pairwise(kinds) if kind == "row")
    assert kinds[-1] != "row"


def test_no_panel_lies_on_another_or_beside_the_page(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert cells
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells


def test_ids_and_titles_are_unique(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)


def test_panels_have_units_that_grafana_knows_and_queries_with_a_legend(panels):
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        for target in panel["targets"]:
            assert target["legendFormat"] or panel["type"] == "stat", panel["title"]


def test_every_variable_that_is_used_is_defined(dashboard):
    text = json.dumps(dashboard["panels"])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == {variable["name"] for variable in dashboard["templating"]["list"]}


def test_every_metric_that_a_panel_shows_is_exported(exprs, names_in, exported):
    for expr in exprs:
        assert names_in(expr) <= exported, expr
        assert names_in(expr) or "scrape_duration_seconds" in expr


def test_every_metric_that_is_exported_is_shown(exprs, names_in, exported):
    shown = set().union(*map(names_in, exprs))
    assert exported - shown == COUNTED_OTHERWISE


def test_every_query_is_about_the_farms_that_were_chosen(exprs):
    for expr in exprs:
        assert expr.count('{job="farm",instance=~"$instance"}') >= 1
        assert not re.search(r"\bfarm_\w+(?![\w{])", expr), expr


@needs_promtool
def test_every_query_parses(exprs, tmp_path):
    rules = [
        {"record": f"panel:query:{number}", "expr": as_prometheus_gets_it(expr)}
        for number, expr in enumerate(exprs)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(exprs)} rules found" in promtool("check", "rules", path)
