"""Boards for the firmware's tests."""

from collections.abc import Iterator

import pytest
from firmware_board import Rig, a_rig


@pytest.fixture(params=["host", "avr"])
def alone(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A board without a host: the core under the sanitisers, and the released image in simavr."""
    with a_rig(request.param) as rig:
        yield rig


@pytest.fixture
def rig(alone: Rig) -> Rig:
    """A board whose host has greeted it and feeds its lease."""
    alone.greet()
    return alone
