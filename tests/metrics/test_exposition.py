"""Pages as text, read back by parsers that are not ours: Prometheus' own library and promtool."""

import shutil
import subprocess

import pytest

from farm.metrics import exposition
from farm.metrics import families as f
from farm.metrics.exposition import Page, Writer

BOTH = pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])


def parsed(text, *, openmetrics):
    """Values by (sample, labels), and families by name, as their Python library reads them."""
    package = "prometheus_client.openmetrics" if openmetrics else "prometheus_client"
    parser = pytest.importorskip(f"{package}.parser")
    found = list(parser.text_string_to_metric_families(text))
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in found
        for sample in family.samples
    }
    return samples, {family.name: family for family in found}


def written(page, *, openmetrics=False):
    return Writer().write(page, openmetrics=openmetrics).decode()


@BOTH
def test_a_whole_page_is_read_back_by_prometheus_own_library(farm, openmetrics):
    farm.endpoint.outcomes = {"ok": 1}
    samples, families = parsed(farm.text(openmetrics=openmetrics), openmetrics=openmetrics)
    assert len(samples) > 100
    assert samples["farm_produced_experiences_total", frozenset({("worker", "1")})] == 31_000_001
    for family in f.FAMILIES:
        if family is f.UNREADABLE:
            continue
        name = family.name if openmetrics or family.kind is f.Kind.COUNTER else family.sample
        found = families[name]
        assert found.documentation == family.help
        kind = "gauge" if family.kind is f.Kind.INFO and not openmetrics else family.kind
        assert found.type == kind
        assert found.unit == (family.unit if openmetrics else "")


@BOTH
def test_numbers_survive_at_full_length(openmetrics):
    page = Page()
    page.add(f.ENV_STEPS, (1 << 53) - 1, "0")
    page.add(f.UPTIME, 0.1 + 0.2)
    page.add(f.CHILD_CPU, 1e-7, "a", "b")
    samples, _ = parsed(written(page, openmetrics=openmetrics), openmetrics=openmetrics)
    assert sorted(samples.values()) == [1e-7, 0.1 + 0.2, (1 << 53) - 1]


@BOTH
@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\\n", "é", ""])
def test_any_text_survives_as_a_label(openmetrics, name):
    page = Page()
    page.add(f.GROUP_MEMBERS, 1, name)
    samples, _ = parsed(written(page, openmetrics=openmetrics), openmetrics=openmetrics)
    assert samples == {("farm_group_members", frozenset({("group", name)})): 1}


def test_openmetrics_ends_with_its_mark_and_text_does_not():
    assert written(Page(), openmetrics=True) == "# EOF\n"
    assert written(Page()) == ""


def test_a_family_stands_in_one_piece_whatever_the_order_of_its_samples():
    page = Page()
    page.add(f.STREAMS, 1)
    page.add(f.ENV_STEPS, 1, "0")
    page.add(f.GAMES_STARTED, 1, "0")
    page.add(f.ENV_STEPS, 2, "1")
    names = [line.split()[2] for line in written(page).splitlines() if line.startswith("# TYPE")]
    assert names == ["farm_games_started_total", "farm_environment_steps_total", "farm_streams"]


def test_a_wrong_number_of_labels_is_a_fault_of_ours():
    page = Page()
    page.add(f.CHILD_CPU, 1, "a")
    with pytest.raises(ValueError, match="zip"):
        written(page)


def test_starts_of_lines_are_kept_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(exposition, "MAX_KEPT_HEADS", 10)
    writer = Writer()
    for number in range(35):
        page = Page()
        page.add(f.ENV_STEPS, number, str(number))
        text = writer.write(page, openmetrics=False).decode()
        assert f'{{worker="{number}"}} {number}\n' in text
        assert len(writer._heads) <= 10


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus has promtool")
def test_promtool_finds_nothing_to_say_about_a_page(farm):
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=farm.text(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
