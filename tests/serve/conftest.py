"""Rings and services for these tests."""

import pytest
from handmade import HandMadeRing
from serving import Serving


@pytest.fixture
def ring(instance):
    """An empty ring of 64 KiB."""
    made = HandMadeRing(instance, 0, 1 << 16)
    yield made
    made.close()


@pytest.fixture
def serve(instance):
    """Starts a service with these options; there is one a test."""
    started = []

    def start(**options):
        started.append(Serving(instance, **options))
        return started[0]

    yield start
    for serving in started:
        serving.close()
