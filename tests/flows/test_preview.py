"""`demoire preview` as a user types it: a page, a table, and nothing in a mirror."""

import io
import re
from pathlib import Path

import pytest

from flows.cli import main
from tests.pipelines.conftest import draw, tree
from tests.s3_server import s3_variables, serve_s3

KEY, SECRET = "the-key", "the-secret-hush-hush"


def test_it_writes_a_page_and_prints_what_would_change(
    box: Path, tiny_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(box, bookkeeping=True)
    page = tmp_path / "pages" / "preview.html"

    status = main(["preview", str(box), "--out", str(page), "--config", str(tiny_toml)])

    assert status == 0
    printed = capsys.readouterr().out
    assert re.search(r"changed\s*│\s*3\b", printed)
    assert printed.splitlines()[-1] == f"preview: {page}"
    assert "3 of 7 images would be changed" in page.read_text()
    assert tree(box, bookkeeping=True) == before


def test_the_command_on_the_page_has_the_settings_that_were_given(
    box: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    page = tmp_path / "preview.html"
    words = ["preview", str(box), "--out", str(page), "-n", "2", "--config", str(tiny_toml)]

    assert main([*words, "--threshold", "0.25", "--max-side", "5000"]) == 0

    command = re.search(r'id="command">(.*?)</code>', page.read_text())
    assert command is not None
    assert command[1].startswith(f"demoire clean {box} DST --")
    assert "--threshold 0.25" in command[1]
    assert "--max-side 5000" in command[1]
    assert "--gate" not in command[1]


def test_several_sources_are_looked_at_and_stand_in_the_command(
    box: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    page = tmp_path / "preview.html"
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1.png").write_bytes(draw(False, 1, side=32, form="PNG"))
    words = ["preview", str(box), "--also", str(tmp_path / "more"), "--out", str(page)]

    assert main([*words, "--config", str(tiny_toml)]) == 0

    written = page.read_text()
    assert "of 8 images would be changed" in written
    assert f"demoire clean {box} DST --also {tmp_path / 'more'}" in written


def test_a_list_on_standard_input_needs_no_src_beside_it(
    box: Path, tiny_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "preview.html"
    listed = io.TextIOWrapper(io.BytesIO(f"{box}\n".encode()))
    monkeypatch.setattr("sys.stdin", listed)

    words = ["preview", "--from-file", "-", "--out", str(page), "--config", str(tiny_toml)]
    assert main(words) == 0

    assert "3 of 7 images would be changed" in page.read_text()
    assert "demoire clean DST --from-file LIST" in page.read_text()


def test_nothing_to_look_at_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview"]) == 2

    assert "Missing argument 'SRC'" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_said_before_the_work(
    box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")

    assert main(["preview", str(box), "--out", str(tmp_path / "file/preview.html")]) == 2

    said = capsys.readouterr().err
    assert "cannot be written: choose another file with --out." in said


def test_a_source_that_does_not_exist_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "preview.html"

    assert main(["preview", str(tmp_path / "nowhere"), "--out", str(out)]) == 2

    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


@pytest.mark.slow
def test_a_bucket_is_looked_at_and_left_as_it_is(
    box: Path, tiny_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "buckets"
    (served / "incoming/1890s").mkdir(parents=True)
    (served / "incoming/1890s/box.tar").write_bytes((box / "box.tar").read_bytes())
    page = tmp_path / "preview.html"
    with serve_s3(served, KEY, SECRET) as url:
        for name, value in s3_variables(url, KEY, SECRET).items():
            monkeypatch.setenv(name, value)
        status = main(["preview", "s3://incoming", "--out", str(page), "--config", str(tiny_toml)])

    assert status == 0
    assert "3 of 7 images would be changed" in page.read_text()
    assert SECRET not in page.read_text()
    assert list(tree(served, bookkeeping=True)) == ["incoming/1890s/box.tar"]


def test_a_canary_stops_a_run_that_would_change_too_much(
    box: Path, tiny_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["clean", str(box), str(tmp_path / "dst"), "--config", str(tiny_toml)]

    status = main([*words, "--canary", "50", "--canary-limit", "0.2"])

    assert status == 3
    said = capsys.readouterr().err
    assert "3 of 7 images would be changed (42.9%, limit 20.0%)" in said
    page = tmp_path / "dst/_demoire/page/canary.html"
    assert f"demoire clean {box} {tmp_path / 'dst'} --" in page.read_text()
    assert list(tree(tmp_path / "dst")) == []


@pytest.mark.slow
def test_a_canary_that_lives_lets_the_run_go_on(
    box: Path, tiny_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["clean", str(box), str(tmp_path / "dst"), "--config", str(tiny_toml)]

    assert main([*words, "--canary", "50"]) == 0

    assert "the canary lives: 3 of 7 images would be changed" in capsys.readouterr().err
    assert "box.tar" in tree(tmp_path / "dst")
