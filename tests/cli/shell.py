"""The command line in this process."""

from typing import NamedTuple

import pytest

from errbound import cli


class Outcome(NamedTuple):
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


class Shell:
    """Runs commands in a folder of its own."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def __call__(self, *words: object) -> Outcome:
        self.capture.readouterr()
        status = cli.main([str(w) for w in words])
        out, err = self.capture.readouterr()
        return Outcome(status, out, err)

    def refuses(self, *words: object) -> str:
        """The one line of a command that ends with status 2."""
        done = self(*words)
        assert done.status == 2, done
        assert done.out == ""
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        return done.err
