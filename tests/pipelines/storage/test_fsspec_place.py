"""What other file systems of fsspec can be: a source over HTTP, and memory."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from demoire.errors import SourceChangedError, StorageError, UsageError
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place
from tests.pipelines.storage.stores import assert_one_sentence
from tests.s3_server import free_port


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server over a folder with one file, `box/a.jpg`."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "a.jpg").write_bytes(b"0123456789")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_web_server_is_a_source(web_server: str) -> None:
    place = open_place(f"{web_server}/box")
    assert [(entry.path, entry.size) for entry in place.list()] == [("a.jpg", 10)]
    assert place.read("a.jpg", 0) == b"0123456789"
    file = open_place(f"{web_server}/box/a.jpg").open("")
    assert file.read() == b"0123456789"
    assert place.stat("b.jpg") is None


def test_a_web_server_that_does_not_answer_is_told_from_a_page_that_is_not_there() -> None:
    place = open_place(f"http://127.0.0.1:{free_port()}/box")
    for ask in (place.stat, place.read):
        with pytest.raises(StorageError, match="the server cannot be reached") as caught:
            ask("a.jpg")
        assert_one_sentence(caught.value)


def test_what_lies_on_a_web_server_is_discovered_and_read(web_server: str) -> None:
    (source,) = discover(f"{web_server}/box")
    (image,) = index(source).images
    assert (source.kind, image.name, image.size) == ("folder", "a.jpg", 10)
    assert [payload for _, payload in read_members(source, [image])] == [b"0123456789"]


def test_the_options_of_a_bucket_do_not_reach_a_web_server(
    web_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", '{"key": "a-key", "secret": "hush"}')
    assert open_place(f"{web_server}/box").read("a.jpg", 2, 3) == b"234"


def test_a_signed_url_is_refused_and_its_signature_not_repeated() -> None:
    with pytest.raises(UsageError, match="https://host/box.tar carries a query") as caught:
        open_place("https://host/box.tar?sig=hush&e=1")
    assert "hush" not in assert_one_sentence(caught.value)


def test_a_web_server_is_no_destination(web_server: str) -> None:
    place = open_place(f"{web_server}/box")
    for write in (place.write, place.create):
        with pytest.raises(UsageError, match="http:// places can only be read, choose another DST"):
            write("b.jpg", b"x")


def test_a_file_system_whose_package_is_missing_is_told_with_the_package() -> None:
    with pytest.raises(UsageError, match="gs://box/x needs a package .* gcsfs") as caught:
        open_place("gs://box/x")
    assert_one_sentence(caught.value)


def test_a_file_system_that_fails_is_one_sentence_without_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret=hush")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "info", fail)
    with pytest.raises(StorageError, match=r"memory://box/x.*failed \(RuntimeError\)") as caught:
        open_place("memory://box").read("x")
    assert "hush" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_what_changes_while_it_is_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_place("memory://changing")
    place.write("x", b"first")
    planned = place.stat("x")
    assert planned is not None
    memory = fsspec.get_filesystem_class("memory")
    cat_file = memory.cat_file

    def read_and_change(*args: object, **kwargs: object) -> bytes:
        place.write("x", b"other")
        return bytes(cat_file(*args, **kwargs))

    monkeypatch.setattr(memory, "cat_file", read_and_change)
    with pytest.raises(SourceChangedError):
        place.read("x", version=planned.version)
