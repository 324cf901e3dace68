"""`farm bench metrics_scrape`, for a moment: the figures themselves are for a quiet machine."""

from farm.bench import scrape
from farm.shm.segment import list_segments


def test_a_farm_of_64_workers_is_scraped_and_costs_less_than_64_of_one():
    figures = scrape.run(1.0)
    assert (figures["children"], figures["rings"], figures["groups"]) == (66, 64, 4)
    assert figures["samples"] > 2000
    assert figures["scrapes"] > 0
    assert 0 < figures["page_ms_p50"] < figures["scrape_ms_p99"]
    assert 1 < figures["ratio_to_one_worker"] < 64


def test_a_pretended_farm_leaves_nothing(instance):
    with scrape.pretended_farm(instance, 2, 1):
        assert len(list_segments(instance)) == 5
    assert list_segments(instance) == []
