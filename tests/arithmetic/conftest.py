"""The fixture that every claim uses."""

from collections.abc import Iterator

import pytest
import torch

from .claims import Claim


@pytest.fixture
def claim() -> Iterator[Claim]:
    """A wrong formula that agreed everywhere means that the test shows nothing."""
    torch.manual_seed(2026)
    found = Claim()
    with torch.inference_mode():
        yield found
    assert all(found.refuted.values()), found.refuted
