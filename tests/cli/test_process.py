"""The command line as a process: killed, interrupted, terminated, resumed; pipes that close."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import errbound
from errbound import cli

from ..certify.making import net, points, without_times

SAMPLES, BATCH = 600, 4


def errbound_process(*words: str, **pipes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "errbound", *words]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **pipes)


def stop_after(process: subprocess.Popen[str], lines: int, journal: Path, sent: int) -> str:
    """Send a signal once the journal has that many lines; return what standard error said."""
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(sent)
    return process.communicate()[1]


def test_killed_interrupted_terminated_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    errbound.export(net(), points(2), "model.pt")
    labels = np.arange(SAMPLES) % 4
    np.savez("points.npz", x=points(SAMPLES).numpy(), y=labels)
    words = ["certify", "model.pt", "--data", "points.npz", "--batch-size", str(BATCH)]
    words += ["--threads", "1", "--out", "run"]
    journal, lines = Path("run/journal.jsonl"), 3
    for sent in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        process = errbound_process(*words, "--resume")
        err = stop_after(process, lines, journal, sent)
        assert not Path("run/summary.json").exists(), "too fast to be stopped"
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            assert err == ""
        else:
            assert process.returncode == 130
            assert err.strip().startswith("interrupted after ")
            assert err.strip().endswith("continue with: errbound " + " ".join(words) + " --resume")
        lines = journal.read_bytes().count(b"\n") + 5
    assert cli.main([*words, "--resume", "--quiet"]) == 0
    words[-1] = "whole"
    assert cli.main([*words, "--quiet"]) == 0
    assert without_times(Path("run")) == without_times(Path("whole"))
    assert torch.get_num_threads() == 1


def test_a_closed_pipe_is_quiet() -> None:
    process = errbound_process("formats", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_the_help_is_fast() -> None:
    """Half a second of processor time: nothing heavy is imported."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    subprocess.run([sys.executable, "-m", "errbound", "--help"], check=True, capture_output=True)
    assert spent() - before < 0.5
