"""Lists of checksums are read as the programs write them that people use, and keep their looks."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.fixity.lists import (
    ListedDigest,
    is_list_name,
    listed_digests,
    new_values,
    with_payload_bytes,
)
from pipelines.fixity.xml_values import with_other_values
from pipelines.names import stored_name

OLD = hashlib.sha256(b"old").hexdigest()
NEW = hashlib.sha256(b"new").hexdigest()


@pytest.mark.parametrize(
    "name",
    [
        *("SHA256SUMS", "md5sums.txt", "MD5SUMS", "sha1sum.txt", "CHECKSUMS", "checksums.sha256"),
        *("a.jpg.md5", "box.tar.SHA512", "bag/manifest-sha256.txt", "bag/tagmanifest-md5.txt"),
    ],
)
def test_names_of_lists(name: str) -> None:
    assert is_list_name(name)


@pytest.mark.parametrize("name", ["a.jpg", "manifest.txt", "summary.txt", "md5.jpg", "sha256.py"])
def test_names_that_are_no_list(name: str) -> None:
    assert not is_list_name(name)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (f"{OLD}  a.jpg\n", "box/a.jpg"),
        (f"{OLD} *sub/a b.jpg\r\n", "box/sub/a b.jpg"),
        (f"{OLD.upper()}\t./a.jpg", "box/a.jpg"),
        (f"{OLD}  sub\\a.jpg\n", "box/sub/a.jpg"),
        (f"{OLD}  ../a.jpg\n", "a.jpg"),
        (f"SHA256 (a (1).jpg) = {OLD}\n", "box/a (1).jpg"),
        (f"\\{OLD}  a\\nb\\\\c.jpg\n", "box/a\nb\\c.jpg"),
        (f"\\{OLD}  a\\rb.jpg\n", "box/a\rb.jpg"),
        (f"{OLD}  ..a.jpg\n", "box/..a.jpg"),
        (f"{OLD}  ../..a.jpg\n", "..a.jpg"),
        (f"{OLD}  caf\udce9.jpg\n", "box/caf\udce9.jpg"),
    ],
)
def test_lines_of_a_list(line: str, path: str) -> None:
    content = b"# made by hand\n" + stored_name(line)
    (listed,) = listed_digests("box/SHA256SUMS", content)
    assert (listed.path, listed.algorithm, listed.digest) == (path, "sha256", OLD)
    changed = with_other_values(content, new_values(content, {listed: NEW}))
    (listed_now,) = listed_digests("box/SHA256SUMS", changed)
    assert listed_now == ListedDigest(path, "sha256", NEW, listed.offset)
    assert len(changed) == len(content)
    assert (NEW.upper().encode() in changed) == (OLD.upper() in line)


def test_a_manifest_of_a_bag_escapes_in_its_own_way() -> None:
    content = f"{OLD}  data/50%25%0A.jpg\n".encode()
    (listed,) = listed_digests("bag/manifest-sha256.txt", content)
    assert listed.path == "bag/data/50%\n.jpg"


def test_a_digest_alone_is_that_of_the_file_beside_it() -> None:
    (listed,) = listed_digests("box/a.jpg.md5", f"{'0' * 32}\n".encode())
    assert (listed.path, listed.algorithm) == ("box/a.jpg", "md5")


def test_what_leaves_the_tree_or_is_no_digest_is_passed_over() -> None:
    content = f"{OLD}  ../../a.jpg\n{OLD}  /etc/a.jpg\n{'0' * 33}  a.jpg\nhello\n".encode()
    assert listed_digests("box/SHA256SUMS", content) == []


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
@pytest.mark.parametrize("options", [[], ["--tag"], ["--binary"]])
def test_lists_of_sha256sum_are_read_and_checked_by_it(tmp_path: Path, options: list[str]) -> None:
    names = ["a.jpg", "a b\\c.jpg", "new\nline.jpg", "ü.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(b"old")
    made = subprocess.run(
        ["sha256sum", *options, *names], cwd=tmp_path, capture_output=True, check=True
    )
    listed = listed_digests("SHA256SUMS", made.stdout)
    assert [entry.path for entry in listed] == names
    for name in names:
        (tmp_path / name).write_bytes(b"new")
    changed = with_other_values(made.stdout, new_values(made.stdout, dict.fromkeys(listed, NEW)))
    (tmp_path / "SHA256SUMS").write_bytes(changed)
    subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


def test_the_bytes_of_a_bag_grow_in_its_info() -> None:
    info = b"Source: us\r\nPayload-Oxum: 1000.3\r\nBag-Size: 1 kB\r\n"
    grown = with_payload_bytes(info, -7)
    assert grown == b"Source: us\r\nPayload-Oxum: 993.3\r\nBag-Size: 1 kB\r\n"
    assert with_payload_bytes(b"no oxum", 5) == b"no oxum"
