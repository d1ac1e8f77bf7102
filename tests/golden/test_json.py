"""Keys, their order, and the types of values in what commands print with --json."""

import shutil
from pathlib import Path

import pytest

from tests.golden.command import demoire
from tests.golden.conftest import GATE_OFF, Mirror, draw
from tests.golden.pinned import assert_pinned, types_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with one whole picture and one that was cut short."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    whole = draw(1, "JPEG", quality=92)
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "whole.jpg").write_bytes(whole)
    return folder


def test_clean(mirror: Mirror) -> None:
    assert_pinned("json/clean.json", types_of(mirror.summary))


def test_plan(mirror: Mirror) -> None:
    ended = demoire("plan", mirror.src, mirror.dst, *GATE_OFF, "--json")

    assert_pinned("json/plan.json", types_of(ended.document))


def test_status(mirror: Mirror) -> None:
    status = demoire("status", mirror.dst, "--json").document

    assert status["quarantine"] == {"not_an_image": 1, "truncated": 1, "unsafe_name": 1}
    assert_pinned("json/status.json", types_of(status))


def test_gc(mirror: Mirror, tmp_path: Path) -> None:
    copied = shutil.copytree(mirror.dst, tmp_path / "dst")

    ended = demoire("gc", copied, "--json")

    assert_pinned("json/gc.json", types_of(ended.document))


def test_detect_prints_one_object_a_picture(pictures: Path) -> None:
    ended = demoire("detect", pictures, "--json", "--device", "cpu")

    assert ended.status == 0, "without --strict"
    assert_pinned("json/detect.json", [types_of(line) for line in ended.lines])


def test_weights(tmp_path: Path) -> None:
    ended = demoire("weights", "--registry", tmp_path, "--json")

    assert_pinned("json/weights.json", types_of(ended.document))


def test_doctor() -> None:
    checks = demoire("doctor", "--json").document

    assert {tuple(check) for check in checks} == {("name", "ok", "finding", "way_out")}
    assert all(isinstance(check["ok"], bool) for check in checks)


def test_evaluate(tmp_path: Path) -> None:
    """At a threshold of zero all is taken for moiré, so no figure is null for want of cases."""
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "labels.csv").write_text("name,kind,strength\none,screen,12.5\ntwo,screen,3\n")
    for seed, name in enumerate(("one", "two")):
        (pairs / f"{name}_clean.png").write_bytes(draw(seed, "PNG"))
        (pairs / f"{name}_moire.png").write_bytes(draw(seed + 7, "PNG"))
    (pairs / "more_only_clean.png").write_bytes(draw(5, "PNG"))
    (pairs / "more_only_moire.png").write_bytes(draw(6, "PNG"))

    figures = demoire("evaluate", pairs, "--json", *GATE_OFF, "--threshold", 0).document

    assert_pinned("json/evaluate.json", types_of(figures))
