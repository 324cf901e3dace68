"""A real service for the client's tests."""

import pytest
from serving import Serving


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
