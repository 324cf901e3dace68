"""A real Prometheus scrapes a real farm, with the config, rules and dashboard that we give out."""

import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from promtool import needs_prometheus

from farm.client import Client
from farm.metrics.families import FAMILIES, UNREADABLE, Kind
from farm.rpc.names import METRICS_ENDPOINT

pytestmark = [needs_prometheus, pytest.mark.timeout(600)]

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "monitoring"
SCRAPE_S = 1
START_S = 60.0
MAY_BE_EMPTY = ("farm_metrics_unreadable", "farm_child_restarts_total")
"""What a farm without a fault has no samples of, or only zeros that a panel filters out."""


class Prometheus:
    """A server of its own, with its data in a folder of its own."""

    def __init__(self, target, folder, port):
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": "1s"}
        (job,) = config["scrape_configs"]
        job["scrape_timeout"] = f"{SCRAPE_S}s"
        job["static_configs"] = [{"targets": [target]}]
        shutil.copy(FOLDER / "alerts.yml", folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--storage.tsdb.retention.time=1h",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path, **parameters):
        """The data of an answer; None while the server starts."""
        assert self._process.poll() is None, self.log.read_text()
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        except OSError:
            return None

    def value(self, expr):
        """The only value of an expression; None while there is none."""
        data = self.ask("query", query=expr)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    def close(self):
        self._process.kill()
        self._process.wait()


class Story:
    """What was seen."""


def exprs():
    dashboard = json.loads((FOLDER / "farm.json").read_text())
    return [
        target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*")
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.fixture(scope="module")
def story(shared_farm_up, stand_ins, tmp_path_factory, wait_until):
    told = Story()
    farm = shared_farm_up("worker.games=16", f"ring.bytes={1 << 20}", "seed=3", **stand_ins)
    (ready,) = farm.events("farm_ready")
    told.target = ready["metrics_address"]
    told.health = {path: get(told.target, path) for path in ("/healthz", "/readyz")}
    prometheus = Prometheus(told.target, tmp_path_factory.mktemp("prometheus"), free_port())
    try:
        with Client(farm.address) as client, client.subscribe() as stream:
            told.endpoints = client.info().endpoints
            stop = threading.Event()
            reader = threading.Thread(target=read, args=(stream, stop))
            reader.start()
            try:
                enough = "sum(rate(farm_acknowledged_experiences_total[10s]))"
                wait_until(lambda: prometheus.value(enough), timeout_s=START_S, what="a rate")
                tell(told, prometheus)
            finally:
                stop.set()
                reader.join(30)
    finally:
        prometheus.close()
    told.returncode = farm.stop()
    told.faults = farm.events("child_crashed") + farm.events("child_restarting")
    return told


def read(stream, stop):
    """Take and acknowledge, until told to stop."""
    for _ in stream:
        if stop.is_set():
            return


def tell(told, prometheus):
    """Ask for everything that the tests look at."""
    (told.scraped,) = prometheus.ask("targets")["activeTargets"]
    told.metadata = prometheus.ask("metadata")
    told.names = set(prometheus.ask("label/__name__/values"))
    told.panels = {expr: prometheus.ask("query", query=expr)["result"] for expr in exprs()}
    told.rules = prometheus.ask("rules")["groups"][0]["rules"]
    told.balance = [
        prometheus.value(f"sum({name})")
        for name in (
            "farm_produced_experiences_total",
            "farm_served_experiences_total",
            "farm_acknowledged_experiences_total",
        )
    ]
    told.batches = prometheus.value('farm_served_batch_bytes_bucket{le="+Inf"}')


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.status, json.load(answer)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_farm_that_serves_is_alive_and_ready(story):
    assert story.health == {
        "/healthz": (200, {"ok": True, "problems": []}),
        "/readyz": (200, {"ok": True, "problems": []}),
    }


def test_discovery_says_where_metrics_are(story):
    assert story.endpoints[METRICS_ENDPOINT] == story.target


def test_the_scrape_goes_well(story):
    assert story.scraped["health"] == "up"
    assert story.scraped["lastError"] == ""
    assert story.scraped["scrapeUrl"] == f"http://{story.target}/metrics"


def test_prometheus_knows_every_family_with_its_kind_unit_and_help(story):
    for family in FAMILIES:
        name = f"{family.name}_bucket" if family.kind is Kind.HISTOGRAM else family.sample
        if name not in story.names:
            assert family is UNREADABLE, name
            continue
        # In OpenMetrics a family is named without the suffix of its kind.
        (told,) = story.metadata[family.name]
        assert (told["type"], told["unit"], told["help"]) == (
            family.kind,
            family.unit,
            family.help,
        )


def test_every_panel_gets_its_numbers(story):
    empty = [expr for expr, result in story.panels.items() if not result]
    unexpected = [expr for expr in empty if not any(name in expr for name in MAY_BE_EMPTY)]
    assert unexpected == []


def test_no_alert_fires_on_a_farm_in_good_health(story):
    assert {rule["health"] for rule in story.rules} == {"ok"}
    assert [rule["name"] for rule in story.rules if rule["state"] == "firing"] == []
    text = (FOLDER / "alerts.yml").read_text()
    assert len(story.rules) == text.count("- alert:") > 0


def test_the_numbers_of_a_farm_that_is_read_add_up(story):
    produced, served, acknowledged = story.balance
    assert produced > served * 0.5
    assert served >= acknowledged > 0
    assert story.batches > 0


def test_nothing_was_disturbed_by_the_scrapes(story):
    assert story.faults == []
    assert story.returncode == 0
