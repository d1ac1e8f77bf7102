"""Checkpoints: tensors come out by name however they were wrapped, and nothing in the file is ever
run.
"""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from demoire.errors import WeightsError
from demoire.models.checkpoints import read_checkpoint

TENSORS = {"first.weight": torch.arange(6.0).view(2, 3), "first.bias": torch.ones(2)}


@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        {f"module.{name}": value for name, value in TENSORS.items()},
        {"state_dict": TENSORS, "iters": 9, "learning_rate": 1e-4},
        {"params": {"first.weight": torch.zeros(1)}, "params_ema": TENSORS},
    ],
    ids=["bare", "several GPUs", "beside other state", "running mean"],
)
def test_the_tensors_come_out(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    found = read_checkpoint(tmp_path / "model.pth")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_the_format_before_zip_is_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.pth").keys() == TENSORS.keys()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._sprung,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(zipped: bool, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save(
        {"a": torch.zeros(1), "b": Trap(sprung)},
        tmp_path / "t.pth",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(WeightsError, match="never run") as caught:
        read_checkpoint(tmp_path / "t.pth")
    assert "\n" not in str(caught.value)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {}, {"epoch": 3}, torch.zeros(3), {"state_dict": {}}], ids=repr
)
def test_what_names_no_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="holds no weights by name"):
        read_checkpoint(tmp_path / "model.pth")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    for bad in (
        whole[: len(whole) // 2],
        b"",
        b"<html>not found</html>",
        pickle.dumps({"a": 1}, 2)[:-3],
    ):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match="name other weights") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)


def test_a_file_of_a_newer_torch_is_refused(tmp_path: Path) -> None:
    """The version of its format stands in a record of its own; one that no torch has yet is put
    there.
    """
    torch.save(TENSORS, tmp_path / "model.pth")
    with (
        zipfile.ZipFile(tmp_path / "model.pth") as old,
        zipfile.ZipFile(tmp_path / "newer.pth", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, b"9999\n" if name.endswith("/version") else old.read(name))
    with pytest.raises(WeightsError, match="newer torch"):
        read_checkpoint(tmp_path / "newer.pth")
