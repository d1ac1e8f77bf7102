"""Pages are counted along the chain of directories, wherever it leads."""

import io
import struct

import numpy as np
import pytest
import tifffile

from demoire.imaging.images import probe
from tests.demoire.imaging.files import (
    tiff,
)


@pytest.mark.timeout(60)
def test_a_chain_of_pages_is_counted_in_no_time_and_a_broken_one_is_not_taken_for_one_page() -> (
    None
):
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for _ in range(3):
            writer.write(np.zeros((20, 30), np.uint8), contiguous=False, metadata=None)
    assert probe(out.getvalue()).pages == 3
    single = bytearray(tiff(np.zeros((20, 30), np.uint8)))
    (first,) = struct.unpack_from("<I", single, 4)
    (count,) = struct.unpack_from("<H", single, first)
    behind = first + 2 + 12 * count
    struct.pack_into("<I", single, behind, 1 << 30)
    assert probe(bytes(single)).pages == 2  # of which one cannot be read: it is not to be cleaned
    chain = bytearray(single)
    struct.pack_into("<I", chain, behind, len(chain))
    for page in range(60_000):
        chain += struct.pack("<HHHIII", 1, 256, 4, 1, 30, len(single) + 18 * (page + 1))
    assert probe(bytes(chain)).pages == 1000
