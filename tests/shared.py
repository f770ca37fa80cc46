"""Real models and data that live beside the project, found through ``ERRBOUND_SHARED``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ERRBOUND_SHARED", ROOT.parent / "shared"))


def shared(*parts: str) -> Path:
    """A file or folder there; the test is skipped without it, or fails if it is required."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        message = f"{path} is absent: set ERRBOUND_SHARED to the folder of shared files"
        if os.environ.get("ERRBOUND_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    return path
