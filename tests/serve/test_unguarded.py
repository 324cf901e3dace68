"""A service that others can reach unguarded says so at every start."""

import json


def told(capfd):
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == "addresses_unguarded"]


def test_an_unguarded_address_is_a_warning_at_every_start(serve, capfd):
    serving = serve(address="0.0.0.0:0")
    assert serving.address
    assert serving.stop_service() == 0
    serving.start()
    assert serving.address
    lines = told(capfd)
    assert [(line["level"], line["address"]) for line in lines] == [("warning", "0.0.0.0:0")] * 2
    assert lines[0]["setting"] == "security.insecure"


def test_a_service_on_loopback_says_nothing_of_it(serve, capfd):
    assert serve().address
    assert told(capfd) == []
