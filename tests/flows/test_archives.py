"""`demoire clean` and its kin as a user types them: what they print, what they leave, how they
end.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import main
from tests.pipelines.conftest import draw, read_tar, tree


@pytest.fixture(scope="module")
def cleaned(box: Path, tiny_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The box, cleaned by the command."""
    dst = tmp_path_factory.mktemp("cleaned") / "clean"
    assert main(["clean", str(box), str(dst), "--config", str(tiny_toml)]) == 0
    return dst


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_clean_mirrors_the_archive_with_its_striped_pictures_changed(
    box: Path, cleaned: Path
) -> None:
    before, after = read_tar(box / "box.tar"), read_tar(cleaned / "box.tar")
    assert list(before) == list(after)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["img_000.jpg", "img_002.jpg", "img_004.jpg"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_clean_again_says_the_same_and_changes_nothing(
    box: Path, cleaned: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _times(cleaned)
    assert main(["clean", str(box), str(cleaned), "--config", str(tiny_toml), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [summary[name] for name in ("images", "cleaned", "copied", "quarantined", "others")] == [
        7,
        3,
        3,
        1,
        1,
    ]
    assert summary["report"] == str(cleaned / "_demoire/page/index.html")
    assert _times(cleaned) == before


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_strict_ends_with_status_1_and_says_why_something_is_in_quarantine(
    box: Path, cleaned: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(box), str(cleaned), "--config", str(tiny_toml), "--strict"]) == 1
    assert "in quarantine: 1 truncated; the report says what to do" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_status_says_done_of_planned_and_why_what_is_in_quarantine(
    cleaned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(cleaned), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images_done"], found["planned_images"]) == (7, 7)
    assert found["quarantine"] == {"truncated": 1}
    assert main(["status", str(cleaned)]) == 0
    assert "truncated" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_report_builds_the_page_again(cleaned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = cleaned / "_demoire/page/index.html"
    page.unlink()
    assert main(["report", str(cleaned)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert "Nothing was lost" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [["plan"], ["clean", "--dry-run"]])
def test_a_plan_says_what_would_be_done_and_cleans_nothing(
    command: list[str],
    box: Path,
    tiny_toml: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dst = tmp_path / "dst"
    assert main([*command, str(box), str(dst), "--config", str(tiny_toml), "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert (cost["sources"], cost["images"], cost["images_done"]) == (1, 7, 0)
    assert cost["mps"] > 0 and cost["hours"] > 0 and cost["requests"] > 0 and cost["bytes_read"] > 0
    assert not (dst / "box.tar").exists()
    assert not (dst / "_demoire/commits").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_retry_takes_only_the_reason_that_is_named(
    box: Path, tiny_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too large by the first run's limit, cleaned by the second's."""
    dst = tmp_path / "dst"
    strict = tmp_path / "strict.toml"
    strict.write_text(tiny_toml.read_text() + "max_megapixels = 0.001\n")
    assert main(["clean", str(box), str(dst), "--config", str(strict), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["quarantined"] == 7
    assert main(["retry", str(dst), "--reason", "no_such_reason"]) == 2
    said = capsys.readouterr().err
    assert "Nothing of reason no_such_reason" in said
    assert "what can be has reason too_large." in said
    assert (
        main(["retry", str(dst), "--reason", "too_large", "--config", str(tiny_toml), "--json"])
        == 0
    )
    second = json.loads(capsys.readouterr().out)
    assert (second["cleaned"], second["copied"], second["quarantined"]) == (3, 3, 1)
    after = read_tar(dst / "box.tar")
    changed = [name for name, data in read_tar(box / "box.tar").items() if after[name] != data]
    assert changed == ["img_000.jpg", "img_002.jpg", "img_004.jpg"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_gc_frees_what_is_published_and_a_run_afterwards_has_nothing_to_do(
    box: Path, cleaned: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (cleaned / "box.tar").read_bytes()
    assert main(["gc", str(cleaned), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] > 0
    assert not any((cleaned / "_demoire/segments").iterdir())
    assert main(["clean", str(box), str(cleaned), "--config", str(tiny_toml)]) == 0
    assert (cleaned / "box.tar").read_bytes() == before


def _missing(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(tmp_path / "nowhere"), str(tmp_path / "dst")]


def _empty(box: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "empty").mkdir()
    return ["clean", str(tmp_path / "empty"), str(tmp_path / "dst")]


def _inside(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(box / "clean")]


def _same(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(box)]


def _unwritable(box: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "file").write_text("not a folder")
    return ["clean", str(box), str(tmp_path / "file/dst")]


def _dst_is_a_file(box: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "file").write_text("not a folder")
    return ["clean", str(box), str(tmp_path / "file")]


def _unknown_value(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(tmp_path / "dst"), "--gate", "maybe"]


def _no_such_device(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(tmp_path / "dst"), "--device", "cuda:99"]


def _unknown_setting(box: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "wrong.toml").write_text("wrokers = 3\n")
    return ["clean", str(box), str(tmp_path / "dst"), "--config", str(tmp_path / "wrong.toml")]


def _no_such_weights(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(tmp_path / "dst"), "--restorer", "nosuch"]


def _weights_of_the_other_model(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", str(box), str(tmp_path / "dst"), "--detector", "restorer-fast"]


def _nothing_planned(box: Path, tmp_path: Path) -> list[str]:
    return ["status", str(tmp_path)]


def _no_such_dst(box: Path, tmp_path: Path) -> list[str]:
    return ["status", str(tmp_path / "nosuch")]


def _no_report_to_build(box: Path, tmp_path: Path) -> list[str]:
    return ["report", str(tmp_path / "nosuch")]


def _other_scheme(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", "gopher://archive/box", str(tmp_path / "dst")]


def _key_in_url(box: Path, tmp_path: Path) -> list[str]:
    return ["clean", "s3://key:hush-hush@archive/box", str(tmp_path / "dst")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (_missing, "nowhere does not exist"),
        (_empty, "is empty"),
        (_inside, "lies inside SRC"),
        (_same, "SRC and DST are both"),
        (_unwritable, "file stands where a folder is needed"),
        (_dst_is_a_file, "file is a file: give a folder"),
        (_unknown_value, "'maybe' is not one of"),
        (_no_such_device, "cuda:99"),
        (_unknown_setting, "Unknown setting 'wrokers'"),
        (_no_such_weights, "nosuch"),
        (_weights_of_the_other_model, "not a detector"),
        (_nothing_planned, "holds no plan"),
        (_no_such_dst, "nosuch does not exist"),
        (_no_report_to_build, "nosuch does not exist"),
        (_other_scheme, "not supported"),
        (_key_in_url, "carries credentials"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_input_is_one_sentence_and_status_2(
    words: Callable[[Path, Path], list[str]],
    says: str,
    box: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words(box, tmp_path)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"demoire: [^\n]+\n", printed.err), printed.err
    assert says in printed.err
    assert "hush-hush" not in printed.err
    assert os.listdir(box) == ["box.tar"]


def test_a_third_argument_gets_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that expands boxes/* to three folders."""
    assert main(["clean", "a", "b", "c"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("demoire: Got unexpected extra argument")
    assert "quote a glob ('boxes/*'), or name each further SRC by --also" in said


def test_a_list_needs_no_src_beside_it(
    tmp_path: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(draw(True, 1))
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path / 'a'}\n{tmp_path / 'b'}\n")
    dst = str(tmp_path / "dst")
    command = ["plan", "--from-file", str(listed), "--config", str(tiny_toml), "--json"]
    assert main([*command, dst]) == 0
    assert json.loads(capsys.readouterr().out)["sources"] == 2
    assert main(["plan", "only-one"]) == 2
    assert "DST is missing" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_several_sources_are_cleaned_beside_each_other_and_pruned_when_asked(
    tmp_path: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(draw(True, 1))
        (tmp_path / name / "notes.txt").write_text(name)
    digest = hashlib.sha256((tmp_path / "b/1.jpg").read_bytes()).hexdigest()
    (tmp_path / "b/SHA256SUMS").write_text(f"{digest}  1.jpg\n")
    dst = tmp_path / "dst"
    command = ["clean", str(tmp_path / "a"), str(dst), "--also", str(tmp_path / "b")]
    command += ["--config", str(tiny_toml)]
    assert main(command) == 0
    assert tree(dst).keys() == {"1.jpg", "notes.txt", "b/1.jpg", "b/notes.txt", "b/SHA256SUMS"}
    said = " ".join(capsys.readouterr().out.split())
    assert "no longer hold in the mirror: 1, such as b/SHA256SUMS; the same command with" in said
    (tmp_path / "a" / "notes.txt").unlink()
    (dst / "b" / "1.jpg").write_bytes(b"edited by hand")
    (tmp_path / "b" / "1.jpg").write_bytes(draw(True, 2))
    capsys.readouterr()

    assert main(["clean", *command[1:], "--strict"]) == 1, "a picture found its place taken"

    said = " ".join(capsys.readouterr().out.split())
    assert "left as it is: b/1.jpg" in said
    assert "no longer in SRC, still in the mirror: notes.txt" in said
    assert main(["status", str(dst)]) == 0
    assert "b/1.jpg" in capsys.readouterr().out
    summary = json.loads((dst / "_demoire" / "page" / "summary.json").read_text())
    assert summary["foreign"] == {"count": 1, "first": ["b/1.jpg"]}
    assert summary["left"] == {"count": 1, "first": ["notes.txt"]}
    page = (dst / "_demoire" / "page" / "index.html").read_text()
    assert "No longer in SRC" in page

    assert main([*command, "--prune"]) == 0
    assert "removed from the mirror" in capsys.readouterr().out
    assert tree(dst).keys() == {"1.jpg", "b/1.jpg", "b/notes.txt", "b/SHA256SUMS"}
    assert (dst / "b" / "1.jpg").read_bytes() == b"edited by hand"
    summary = json.loads((dst / "_demoire" / "page" / "summary.json").read_text())
    assert summary["left"]["count"] == 0
