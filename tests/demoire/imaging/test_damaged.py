"""Files that are cut short or damaged are never decoded in part, and raise only ImageError."""

import io
import struct

import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.errors import ImageError
from demoire.imaging.guard import decode_guarded
from demoire.imaging.images import Picture, decode, open_image, probe
from tests.demoire.imaging.files import chunk, reason_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# What may truthfully be said of a damaged file by whoever reads its header or decodes it. A byte
# more or less can make another kind of image of it: a TIFF of floats, a raw file, a moving GIF.
TRUTHFUL_REASONS = (
    "animated",
    "bilevel",
    "camera_raw",
    "compression_bomb",
    "decode_failed",
    "float_samples",
    "mode_not_cleaned",
    "native_crash",
    "not_an_image",
    "palette",
    "too_large",
    "truncated",
    "unsupported_format",
)


@given(share=st.floats(0.0, 0.999))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_short_is_never_decoded_in_part(
    share: float, all_files: dict[str, bytes]
) -> None:
    for name, data in all_files.items():
        cut = data[: int(share * len(data))]
        assert reason_of(cut) in ("truncated", "not_an_image"), (
            f"{name} cut at {len(cut)} of {len(data)}"
        )


def test_a_file_of_which_hardly_anything_is_there_is_cut_short(
    all_files: dict[str, bytes],
) -> None:
    """At each byte of the first boxes, chunks and segments, where formats are told apart."""
    for name, data in all_files.items():
        for length in range(150):
            assert reason_of(data[:length]) in ("truncated", "not_an_image"), (
                f"{name} cut at {length} of {len(data)}"
            )


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_but_image_errors_comes_of_damaged_bytes(
    data: st.DataObject, all_files: dict[str, bytes]
) -> None:
    name = data.draw(st.sampled_from(sorted(all_files)))
    damaged = bytearray(all_files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        # Most of what decides stands in the first bytes; a TIFF has its directory at the end, too.
        place = data.draw(st.one_of(st.integers(0, 300), st.integers(0, len(damaged) - 1)))
        damaged[place % len(damaged)] = data.draw(st.integers(0, 255))
    for read in (probe, _read_guarded):
        try:
            read(bytes(damaged))
        except ImageError as error:
            assert error.reason in TRUTHFUL_REASONS


def _read_guarded(data: bytes) -> Picture:
    return decode_guarded(open_image(data))


@pytest.mark.parametrize("name", ["tiff big", "tiff planar 16 tiles", "tiff short offsets"])
def test_one_damaged_byte_that_makes_floats_of_a_tiff_is_told_as_floats(
    name: str, all_files: dict[str, bytes]
) -> None:
    """SamplesPerPixel (0x0115) with the value 3 becomes SampleFormat (0x0153): 3 means floats."""
    data = all_files[name]
    assert data.startswith(b"II")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages.first.tags["SamplesPerPixel"]
    damaged = bytearray(data)
    damaged[tag.offset] = 0x53
    with pytest.raises(ImageError) as caught:
        decode(bytes(damaged))
    assert caught.value.reason == "float_samples"


def test_a_header_that_promises_more_than_the_file_can_hold_is_told_before_decoding(
    jpeg_files: dict[str, bytes], lossless_files: dict[str, bytes]
) -> None:
    """No decoder would say so: what is missing would be made up in grey, in all the memory that
    takes.
    """
    for name in ("4:4:4", "4:2:0 progressive", "grey"):
        data = bytearray(jpeg_files[name])
        frame = data.index(b"\xff\xc2" if "progressive" in name else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">2H", 6_000, 6_000)
        assert probe(bytes(data)).megapixels == 36
        assert reason_of(bytes(data)) == "truncated", name
    png = lossless_files["png"]
    header = chunk(b"IHDR", struct.pack(">2I", 6_000, 6_000) + png[24:29])
    assert reason_of(png[:8] + header + png[33:]) == "truncated"
