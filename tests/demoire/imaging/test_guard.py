"""Decoding what may break its decoder: in a child that dies, hangs or takes too much memory.

None of that reaches this process. A child reads `sitecustomize` when it starts, and with it what a
test wants to happen when it reads a file.
"""

import errno
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from demoire.errors import ImageError, MachineError
from demoire.imaging import guard, images
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import Picture, open_image

HOOK = """
import sys
if "demoire.imaging.guard" in " ".join(sys.orig_argv):
    import os, time
    import demoire.imaging.images
    read = demoire.imaging.images.read
    def read_or_not(opened):
        data = opened.data
        {what_happens}
        return read(opened)
    demoire.imaging.images.read = read_or_not
"""


def tiff(seed: int, kind: type = np.uint8) -> bytes:
    samples = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (90, 130, 3), dtype=kind)
    out = io.BytesIO()
    tifffile.imwrite(out, samples, photometric="rgb", compression="lzw", metadata=None)
    return out.getvalue()


def saved(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture = np.random.default_rng(9).integers(0, 255, (70, 80, 4), dtype=np.uint8)
    picture[::2, :, 3] = 255
    Image.fromarray(picture[:, :, :3] if form == "JPEG" else picture).save(out, form, **options)
    return out.getvalue()


def decode(data: bytes) -> Picture:
    return decode_guarded(open_image(data))


_before: set[int] = set()  # children of this process that tests before have left


def all_children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def children() -> list[int]:
    """Those that this test has started and that still run."""
    return sorted(all_children() - _before)


@pytest.fixture(autouse=True)
def no_children() -> Iterator[None]:
    """Each test starts its own, which see its own hook."""
    guard.children.end()
    _before.clear()
    _before.update(all_children())
    yield
    guard.children.end()


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(what_happens: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(HOOK.format(what_happens=what_happens))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    return install


@pytest.mark.parametrize(
    "data", [tiff(1), tiff(2, np.uint16), saved("WEBP", lossless=True)], ids=["8", "16", "webp"]
)
def test_a_child_gives_the_very_picture(data: bytes) -> None:
    here, there = images.decode(data), decode(data)
    assert there.facts == here.facts and there.source is data
    assert there.pixels.dtype == here.pixels.dtype and np.array_equal(there.pixels, here.pixels)
    assert (there.alpha is None) == (here.alpha is None)
    assert here.alpha is None or np.array_equal(there.alpha, here.alpha)
    assert len(children()) == 1


def test_what_cannot_be_written_back_keeps_its_obstacle() -> None:
    out = io.BytesIO()
    Image.new("1", (40, 30)).save(out, "TIFF", compression="group4")
    assert decode(out.getvalue()).obstacle == "bilevel"


def test_what_is_written_is_read_again_and_not_given_out_if_it_is_not_what_it_should_be() -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 64, 3), dtype=np.uint8)).save(
        out, "BMP"
    )
    good = bytearray(out.getvalue())
    picture = decode(bytes(good))
    new = 255 - picture.pixels
    assert np.array_equal(encode_verified(picture, new).pixels, new)
    good[10] = 24  # the pixels are said to begin inside the header: writing them would overwrite it
    picture = decode(bytes(good))
    with pytest.raises(ImageError) as caught:
        encode_verified(picture, 255 - picture.pixels)
    assert caught.value.reason == "encode_failed"


def test_harmless_formats_need_no_child() -> None:
    for form in ("JPEG", "PNG", "BMP"):
        decode(saved(form))
    assert children() == []


def test_a_jpeg_of_very_many_scans_is_left_to_a_child() -> None:
    data = saved("JPEG", progressive=True)
    scans = data[data.index(b"\xff\xda") : -2]
    few, many = (data[:-2] + count * scans + b"\xff\xd9" for count in (2, 20))
    for repeated, expected in ((few, 0), (many, 1)):
        with pytest.raises(ImageError, match="extraneous bytes"):
            decode(repeated)
        assert len(children()) == expected


def test_an_error_of_the_decoder_comes_back_and_the_child_stays() -> None:
    data = tiff(1)
    for broken, reason in (
        (data[:-9], "truncated"),
        (data[:200] + bytes(2000) + data[2200:], "decode_failed"),
    ):
        with pytest.raises(ImageError) as caught:
            decode(broken)
        assert caught.value.reason == reason
    before = children()
    decode(data)
    assert children() == before and len(before) == 1


def test_a_child_that_dies_takes_its_file_along_and_nothing_else(
    hook: Callable[[str], None],
) -> None:
    deadly, harmless = tiff(1), tiff(2)
    hook(f"if data == {deadly!r}: os.abort()")
    for _ in range(2):
        with pytest.raises(ImageError, match="died of this file") as caught:
            decode(deadly)
        assert caught.value.reason == "native_crash"
        assert decode(harmless).facts.width == 130


@pytest.mark.parametrize("what_happens", ["while True: pass", "time.sleep(3600)"])
def test_a_child_that_takes_for_ever_is_ended(
    hook: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, what_happens: str
) -> None:
    hook(what_happens)
    monkeypatch.setattr(guard, "_SECONDS", 1.0)
    with pytest.raises(ImageError, match="not done after 1 s") as caught:
        decode(tiff(1))
    assert caught.value.reason == "decoder_limit" and children() == []


def test_a_child_that_waits_for_a_core_is_waited_for(
    hook: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps instead, which looks the same from outside."""
    first, second = tiff(1), tiff(2)
    hook(f"if data == {second!r}: time.sleep(2)")
    decode(first)  # a child is there
    monkeypatch.setattr(guard, "_SECONDS", 1.0)
    assert decode(second).facts.width == 130


def test_a_child_gets_no_more_memory_than_the_picture_needs(hook: Callable[[str], None]) -> None:
    hook("if len(data) > 1000: bytearray(1 << 30)")
    with pytest.raises(ImageError, match="more than 512 MB") as caught:
        decode(tiff(1))
    assert caught.value.reason == "decoder_limit"


def test_each_thread_has_a_child_for_itself(hook: Callable[[str], None]) -> None:
    files = [tiff(seed) for seed in range(4)]
    hook("time.sleep(0.2)")
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(decode, files))
    assert all(
        np.array_equal(p.pixels, images.decode(f).pixels)
        for p, f in zip(pictures, files, strict=True)
    )
    assert 1 < len(children()) <= 4


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "file.tif").write_bytes(tiff(1))
    if (parent := os.fork()) == 0:  # a copy of this process, killed with a child of its own
        decode((tmp_path / "file.tif").read_bytes())
        os.write(writer, str(children()[0]).encode())
        os.kill(os.getpid(), 9)
    os.waitpid(parent, 0)
    child = int(os.read(reader, 20))
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=20)
    assert not psutil.pid_exists(child)


def test_a_child_that_cannot_be_started_is_the_machines_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    guard.children.end()
    monkeypatch.setattr("demoire.imaging.child.Pipe", refuse)
    with pytest.raises(MachineError, match=r"Too many open files.*ulimit -n"):
        decode(tiff(1))
