"""``--download`` on loopback: what is kept, and that nothing else ever is."""

import gzip
import io
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from errbound.data import DATASETS, _transfer, download, fetch, open_dataset
from errbound.data.cifar import read_batches, read_records
from errbound.data.named import Layout, Row, Split

from .making import EMBEDDED, IMAGES, LABELS, RECORDS, md5, refused
from .test_pickled_batches import batch

OFFICIAL = {name: (EMBEDDED / name).read_bytes() for name in (f"{IMAGES}.gz", f"{LABELS}.gz")}
PLAIN = {name.removesuffix(".gz"): gzip.decompress(b) for name, b in OFFICIAL.items()}


class Site(ThreadingHTTPServer):
    """Serves ``files``, bytes or a function that answers, by path; ``asked`` has the paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes | Callable[[Any], None]] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        found = self.server.files.get(self.path)
        if found is None:
            self.send_error(404)
        elif callable(found):
            found(self)
        else:
            answer(self, found, len(found))

    def log_message(self, *args: object) -> None:
        """Quiet."""


def answer(handler: Any, content: bytes, length: int | None, status: int = 200) -> None:
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("ERRBOUND_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mnist(site: Site, folder: Path, url: str = "/d", **given: Any) -> Callable[[], object]:
    url = url if "://" in url else site.url + url
    return lambda: fetch("mnist", url, data_dir=folder, **given)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """A data set "cifar10" of which the test split has two files, in two layouts."""
    binary = {f"{n}.bin": RECORDS.tobytes() for n in ("one", "two")}
    pickled = {n: batch(batch_label=n.encode()) for n in ("one", "two")}
    layouts = tuple(
        Layout(read, {name: md5(content) for name, content in files.items()})
        for read, files in ((read_records, binary), (read_batches, pickled))
    )
    row = Row("cifar10", ("cifar10", ""), {"test": Split("0" * 64, layouts)})
    rows = MappingProxyType({**DATASETS, "cifar10": row})
    monkeypatch.setattr(download, "DATASETS", rows)
    monkeypatch.setattr("errbound.data.DATASETS", rows)
    return binary, pickled


class TestFetched:
    @pytest.mark.parametrize("slash", ["", "/"])
    @pytest.mark.parametrize("files", [OFFICIAL, PLAIN])
    def test_from_a_folder(
        self, site: Site, tmp_path: Path, files: dict[str, bytes], slash: str
    ) -> None:
        site.files |= {f"/d/{name}": content for name, content in files.items()}
        shown: list[tuple[str, int, int | None]] = []
        target = tmp_path / "new" / "folder"
        written = fetch(
            "mnist", f"{site.url}/d{slash}", data_dir=target, progress=lambda *x: shown.append(x)
        )
        assert written == tuple(target / name for name in files)
        assert {p.name: p.read_bytes() for p in target.iterdir()} == files
        assert {(name, total) for name, _, total in shown} == {
            (n, len(b)) for n, b in files.items()
        }
        assert [done for name, done, _ in shown if name in files][-1] == len([*files.values()][-1])
        assert open_dataset("mnist", data_dir=target).sha256 == open_dataset("mnist").sha256

    def test_only_what_is_missing(self, site: Site, tmp_path: Path) -> None:
        site.files |= {f"/d/{name}": content for name, content in OFFICIAL.items()}
        (tmp_path / LABELS).write_bytes(PLAIN[LABELS])
        assert fetch("mnist", f"{site.url}/d", data_dir=str(tmp_path)) == (
            tmp_path / f"{IMAGES}.gz",
        )
        site.asked.clear()
        assert fetch("mnist", f"{site.url}/d", data_dir=tmp_path) == ()
        assert site.asked == []

    def test_nothing_if_a_folder_within_has_all(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "MNIST" / "raw").mkdir(parents=True)
        for name, content in OFFICIAL.items():
            (tmp_path / "MNIST" / "raw" / name).write_bytes(content)
        assert mnist(site, tmp_path)() == ()
        assert site.asked == []

    def test_one_file(self, site: Site, tmp_path: Path) -> None:
        site.files["/x/" + LABELS] = OFFICIAL[f"{LABELS}.gz"]
        assert mnist(site, tmp_path, f"/x/{LABELS}")() == (tmp_path / f"{LABELS}.gz",)
        refused(lambda: open_dataset("mnist", data_dir=tmp_path), "a part", IMAGES)

    def test_from_a_local_folder_and_after_a_redirect(self, site: Site, tmp_path: Path) -> None:
        assert mnist(site, tmp_path / "a", EMBEDDED.as_uri())() != ()
        assert names(tmp_path / "a") == sorted(OFFICIAL)

        def moved(handler: Any) -> None:
            handler.send_response(302)
            handler.send_header("Location", handler.path.replace("/old", "/d"))
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        site.files |= {f"/d/{name}": content for name, content in OFFICIAL.items()}
        site.files |= {f"/old/{name}": moved for name in OFFICIAL}
        assert mnist(site, tmp_path / "b", "/old")() != ()
        assert names(tmp_path / "b") == sorted(OFFICIAL)

    def test_the_variable_names_the_parent(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Any
    ) -> None:
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
        site.files |= {f"/{name}": content for name, content in small[0].items()}
        fetch("cifar10", site.url)
        assert names(tmp_path / "cifar10") == ["one.bin", "two.bin"]
        assert len(open_dataset("cifar10")) == 8

    def test_the_layout_that_the_address_has(self, site: Site, tmp_path: Path, small: Any) -> None:
        site.files |= {f"/{name}": content for name, content in small[1].items()}
        fetch("cifar10", site.url, data_dir=tmp_path)
        assert names(tmp_path) == ["one", "two"]

    @pytest.mark.parametrize("end", ["tar", "tar.gz", "tgz"])
    @pytest.mark.parametrize("layout", [0, 1])
    def test_from_an_archive(
        self, site: Site, tmp_path: Path, small: Any, end: str, layout: int
    ) -> None:
        others = {"two/three": b"?", "../../evil": b"?", "/tmp/evil": b"?"}
        members = {f"c/{name}": content for name, content in small[layout].items()}
        site.files[f"/x.{end}"] = packed(others | members, plain=end == "tar")
        fetch("cifar10", f"{site.url}/x.{end}", data_dir=tmp_path / "d")
        assert names(tmp_path / "d") == sorted(small[layout])
        assert names(tmp_path) == ["d"]
        assert len(open_dataset("cifar10", data_dir=tmp_path / "d")) == 8


def packed(members: dict[str, bytes], *, plain: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w" if plain else "w:gz") as archive:
        link = tarfile.TarInfo("c/one.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def broken(handler: Any) -> None:
    answer(handler, b"12345", 20)


def endless(handler: Any) -> None:
    answer(handler, b"", None)
    while True:
        handler.wfile.write(bytes(1 << 16))


def claims(handler: Any) -> None:
    answer(handler, b"1", 10**15)


def stalls(handler: Any) -> None:
    answer(handler, b"1", 20)
    time.sleep(1)


def forbidden(handler: Any) -> None:
    answer(handler, b"", 0, 403)


def to_a_file(handler: Any) -> None:
    handler.send_response(302)
    handler.send_header("Location", EMBEDDED.as_uri() + f"/{IMAGES}.gz")
    handler.end_headers()


def no_http(handler: Any) -> None:
    handler.wfile.write(b"nonsense\r\n\r\n")


class TestNothingIsKept:
    @pytest.mark.parametrize(
        ("served", "parts"),
        [
            (OFFICIAL[f"{LABELS}.gz"], ["wrong checksum", md5(PLAIN[LABELS]), md5(PLAIN[IMAGES])]),
            (OFFICIAL[f"{IMAGES}.gz"][:-9], ["wrong checksum", "damaged gzip"]),
            (b"", ["wrong checksum"]),
            (gzip.compress(bytes(1 << 21)), ["wrong checksum"]),
            (broken, ["broke off after 5 of 20 bytes"]),
            (endless, ["longer than 2000000 bytes"]),
            (claims, ["longer than 2000000 bytes"]),
            (stalls, ["timed out"]),
            (forbidden, ["answers 403"]),
            (to_a_file, ["302"]),
            (no_http, ["cannot be fetched"]),
        ],
        ids=range(11),
    )
    def test_bad_answers(
        self,
        site: Site,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        served: Any,
        parts: list[str],
    ) -> None:
        monkeypatch.setattr(_transfer, "_TIMEOUT", 0.3)
        monkeypatch.setattr(_transfer, "_LIMIT", 2_000_000)
        monkeypatch.setattr(download, "_LARGEST", 8_000_000)
        site.files[f"/d/{IMAGES}.gz"] = served
        refused(mnist(site, tmp_path / "new"), f"{site.url}/d/{IMAGES}.gz", *parts)
        (tmp_path / "old").mkdir()
        refused(mnist(site, tmp_path / "old"), *parts)
        assert names(tmp_path) == ["old"]
        assert names(tmp_path / "old") == []

    def test_what_unpacks_to_too_much_is_not_unpacked(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []
        monkeypatch.setattr(download, "_LARGEST", 100)
        original = gzip.GzipFile.read
        monkeypatch.setattr(
            gzip.GzipFile, "read", lambda self, n: read.append(n) or original(self, n)
        )
        site.files[f"/d/{IMAGES}.gz"] = gzip.compress(bytes(1 << 26))
        refused(mnist(site, tmp_path), "wrong checksum")
        assert len(read) == 1
        assert names(tmp_path) == []

    @pytest.mark.parametrize("url", ["/nope", "/nope/", f"/nope/{LABELS}", "/nope.tar.gz"])
    def test_not_found(self, site: Site, tmp_path: Path, url: str) -> None:
        refused(mnist(site, tmp_path / "new", url), f"{site.url}/nope", "not found")
        local = (tmp_path / "none").as_uri()
        refused(mnist(site, tmp_path / "new", local), local, "not found")
        assert names(tmp_path) == []

    def test_nobody_answers(self, site: Site, tmp_path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        refused(mnist(site, tmp_path / "new", url), url, "refused")
        refused(mnist(site, tmp_path / "new", f"https://{site.url[7:]}/"), "cannot be fetched")
        assert names(tmp_path) == []

    @pytest.mark.parametrize("url", ["", "d", "ftp://x/", "data:,x", "C:\\d", "javascript:x\ny"])
    def test_other_addresses(self, site: Site, tmp_path: Path, url: str) -> None:
        refused(lambda: fetch("mnist", url, data_dir=tmp_path), repr(url), "http, https, file")

    @pytest.mark.parametrize("url", ["http://", "http:///x", "http://[/", "http://a b/", "file://"])
    def test_addresses_that_are_none(self, site: Site, tmp_path: Path, url: str) -> None:
        refused(lambda: fetch("mnist", url, data_dir=tmp_path / "new"))
        assert names(tmp_path) == []

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
    def test_an_interruption(self, site: Site, tmp_path: Path, stop: type[BaseException]) -> None:
        site.files |= {f"/d/{name}": content for name, content in OFFICIAL.items()}
        seen: list[list[str]] = []

        def interrupt(name: str, done: int, total: int | None) -> None:
            seen.append(names(tmp_path / "new"))
            raise stop

        with pytest.raises(stop):
            mnist(site, tmp_path / "new", progress=interrupt)()
        assert [len(s) for s in seen] == [1]
        assert seen[0][0].startswith("."), "a hidden name, never that of a data file"
        assert names(tmp_path) == []

    def test_what_was_verified_before_is_kept(self, site: Site, tmp_path: Path) -> None:
        site.files[f"/d/{IMAGES}"] = PLAIN[IMAGES]
        site.files[f"/d/{LABELS}"] = b"?"
        refused(mnist(site, tmp_path), LABELS, "wrong checksum")
        assert names(tmp_path) == [IMAGES]

    def test_bad_archives(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Any
    ) -> None:
        def act() -> object:
            return fetch("cifar10", f"{site.url}/x.tgz", data_dir=tmp_path / "d")

        good = packed(small[0])
        for content, part in (
            (b"", "damaged archive"),
            (b"x" * 5000, "damaged archive"),
            (good[: len(good) // 2], "damaged archive"),
            (gzip.compress(gzip.decompress(good)[:3000]), "damaged archive"),
            (packed({"a": b""}), "holds none of one.bin, two.bin, one, two"),
            (packed({"c/one.bin": b"?"}), "x.tgz: one.bin: wrong checksum"),
            (packed({"c/one.bin/x": b"?"}), "holds none of"),
        ):
            site.files["/x.tgz"] = content
            refused(act, site.url, part)
            assert names(tmp_path) == []
        monkeypatch.setattr(download, "_EXPANDED", 1 << 20)
        site.files["/x.tgz"] = packed({"c/a": bytes(1 << 21), **small[0]})
        refused(act, "damaged archive")
        assert names(tmp_path) == []


class TestRefused:
    def test_other_data(self, tmp_path: Path) -> None:
        refused(lambda: fetch("x.npz", "http://x/", data_dir=tmp_path), "x.npz", "mnist")

    def test_what_is_embedded(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
        refused(lambda: fetch("mnist", "http://x/"), "mnist test split is embedded")

    def test_no_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ERRBOUND_DATA", raising=False)
        act = lambda: fetch("mnist", "http://x/", split="train")  # noqa: E731
        refused(act, "--data-dir", "ERRBOUND_DATA")

    @pytest.mark.parametrize("child", ["", "mnist", "MNIST/raw"])
    def test_a_file_with_other_content_is_not_replaced(
        self, site: Site, tmp_path: Path, child: str
    ) -> None:
        path = tmp_path / child / LABELS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
        refused(mnist(site, tmp_path), path, "is not the official file", "move it away")
        assert path.read_bytes() == b"mine"
        assert site.asked == []

    def test_a_folder_that_is_a_file(self, site: Site, tmp_path: Path) -> None:
        site.files |= {f"/d/{name}": content for name, content in OFFICIAL.items()}
        (tmp_path / "f").write_bytes(b"")
        refused(mnist(site, tmp_path / "f"), tmp_path / "f", "cannot be written")
        refused(mnist(site, tmp_path / "f" / "g"), tmp_path / "f" / "g", "cannot be written")
