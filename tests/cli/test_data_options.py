"""``--data`` and what goes with it, on the command line."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import errbound
from errbound import cli
from errbound.data import open_dataset

from ..data.making import EMBEDDED, IMAGES, KNOWN, LABELS

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist_dnn.pt"
COUNT = 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ERRBOUND_DATA", raising=False)
    return tmp_path


def refuses(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def digits(count: int) -> None:
    """The first test images of MNIST as a folder of PNG files, one subfolder per digit."""
    mnist = open_dataset("mnist")
    assert mnist.labels is not None
    for index in range(count):
        path = Path("digits", str(mnist.labels[index]), f"{index:05}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mnist.inputs[index, 0]).save(path)


def test_a_folder_of_images_is_certified_as_the_data_it_was_made_of() -> None:
    digits(COUNT)
    words = ["certify", str(EXAMPLE), "--quiet", "--threads", "1"]
    assert cli.main([*words, "--data", "digits", "--out", "a"]) == 0
    assert cli.main([*words, "--data", "mnist", "--limit", str(COUNT), "--out", "b"]) == 0
    a, b = errbound.load_run("a"), errbound.load_run("b")
    assert a.summary["data"]["note"].startswith("classes are the subfolders: 0 = 0, 1 = 1")
    for name in ("accuracy_m32", "accuracy_m16", "verdicts", "guaranteed_accuracy"):
        assert a.summary[name] == b.summary[name], name
    labels = open_dataset("mnist").labels
    assert labels is not None
    order = np.argsort(labels[:COUNT], kind="stable")
    for mine, index in zip(a.samples, order, strict=True):
        other = b.samples[index]
        assert (mine.label, mine.prediction_m32) == (other.label, other.prediction_m32)


def test_size_split_and_folder_reach_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    digits(4)
    Path("net.py").write_text(
        "from torch import nn\ndef small(): return nn.Sequential(nn.Flatten(), nn.Linear(48, 3))\n"
    )
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).state_dict(), "w.pt")
    words = ["export", "w.pt", "--arch", "net.py:small", "--data", "digits", "--size", "6,8"]
    assert cli.main([*words, "-o", "small.pt"]) == 0
    hint = "certify it with: errbound certify small.pt --data digits --size 6,8\n"
    assert capsys.readouterr().out.endswith(hint)
    assert cli.main(["certify", "small.pt", "--data", "digits", "--size", "6,8", "--quiet"]) == 0
    ops = ("ops", "--for", "w.pt", "--arch", "net.py:small")
    assert cli.main([*ops, "--data", "digits", "--size", "6,8"]) == 0
    capsys.readouterr()
    assert "train-images-idx3-ubyte" in refuses(
        capsys, *ops, "--data", "mnist", "--split", "train", "--data-dir", "~"
    )
    assert "give H,W" in refuses(capsys, *ops, "--data", "digits", "--size", "6x8")
    assert "go with --data" in refuses(capsys, *ops, "--split", "train")


def test_download(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["certify", str(EXAMPLE), "--data", "mnist", "--data-dir", "new", "--limit", "2"]
    assert cli.main([*words, "--download", EMBEDDED.as_uri(), "--quiet"]) == 0
    assert capsys.readouterr() == ("", ""), "no bar where standard error is no terminal"
    assert sorted(p.name for p in Path("new").iterdir()) == [f"{IMAGES}.gz", f"{LABELS}.gz"]
    Path("new", f"{LABELS}.gz").write_bytes(b"mine")
    err = refuses(capsys, *words, "--download", EMBEDDED.as_uri())
    assert KNOWN[LABELS][1] in err
    assert "embedded" in refuses(
        capsys, "certify", str(EXAMPLE), "--data", "mnist", "--download", EMBEDDED.as_uri()
    )


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_download_leaves_nothing(folder: Path, sent: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        words = ["ops", "--for", str(EXAMPLE), "--data", "mnist", "--data-dir", "new"]
        process = subprocess.Popen(
            [sys.executable, "-m", "errbound", *words, "--download", url],
            stderr=subprocess.PIPE,
            text=True,
            env={"no_proxy": "127.0.0.1", "PYTHONPATH": str(EXAMPLE.parents[1])},
        )
        server.settimeout(60)
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n1234")
            while not [*folder.glob("new/.*")]:
                assert process.poll() is None
            process.send_signal(sent)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted"
    assert [*folder.iterdir()] == []
