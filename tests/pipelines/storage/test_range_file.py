"""An object as a file: few requests, few bytes."""

import io
import os
import tarfile

from pipelines.storage.place import Place
from pipelines.storage.range_file import RangeFile


def test_a_tar_is_read_through_an_open_file(place: Place) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a", "b"):
            info = tarfile.TarInfo(name)
            info.size = 200_000
            tar.addfile(info, io.BytesIO(name.encode() * 200_000))
    place.write("t.tar", buffer.getvalue())
    with place.open("t.tar") as file, tarfile.open(fileobj=file) as tar:
        second = tar.extractfile("b")
        assert second is not None and second.read() == b"b" * 200_000


def test_jumping_reads_little_and_reading_on_asks_seldom(s3_bucket: Place) -> None:
    data = os.urandom(1 << 20) * 12
    s3_bucket.write("big", data)
    file = s3_bucket.open("big")
    assert isinstance(file, RangeFile)
    for offset in range(0, len(data), 3 << 20):
        file.seek(offset)
        assert file.read(512) == data[offset : offset + 512]
    assert file.requests == 4 and file.bytes_read <= 4 * 32_768
    whole = s3_bucket.open("big")
    assert isinstance(whole, RangeFile)
    assert b"".join(iter(lambda: whole.read(64 << 10), b"")) == data
    assert whole.requests < 15
