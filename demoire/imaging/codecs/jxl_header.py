"""The header of a JPEG XL codestream: a stream of bits, read as far as where the frames begin.

All of it but an ICC profile is read. A profile is coded by the entropy coder of the frames, so
where one is there it is not known where the frames begin.

References:
    ISO/IEC 18181-1: field types (9.2), SizeHeader (D.2), ImageMetadata (D.3), ColourEncoding
    (E.2), FrameHeader (F.2).
"""

from dataclasses import dataclass
from typing import Literal

from demoire.imaging.codecs.raster import CutShortError
from demoire.imaging.codecs.stated_colours import BT2020, DISPLAY_P3, stated_profile

START = b"\xff\x0a"
ALPHA = 0
Space = Literal["rgb", "grey", "other"]
SRGB_TRANSFER = 13
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_D65, _CUSTOM_WHITE = 1, 2
_SRGB_PRIMARIES, _CUSTOM_PRIMARIES = 1, 2
_WIDE_PRIMARIES = {9: BT2020, 11: DISPLAY_P3}
_MOST_EXTRA = 256
_SPOT_COLOUR, _COLOUR_FILTER = 2, 5
# The four ways to code a number: so many bits, and what is added to them.
_Ways = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_ENUM: _Ways = ((0, 0), (0, 1), (4, 2), (6, 18))
_SIDE: _Ways = ((9, 1), (13, 1), (18, 1), (30, 1))
_BITS: _Ways = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_BITS: _Ways = ((0, 32), (0, 16), (0, 24), (6, 1))
_EXTRA: _Ways = ((0, 0), (0, 1), (4, 2), (12, 1))
_SHIFT: _Ways = ((0, 0), (0, 3), (0, 4), (3, 1))
_NAME: _Ways = ((0, 0), (4, 0), (5, 16), (10, 48))
_FILTER: _Ways = ((0, 1), (2, 0), (4, 3), (8, 19))
_COORDINATE: _Ways = ((19, 0), (19, 524288), (20, 1048576), (21, 2097152))


@dataclass(frozen=True)
class Samples:
    """How the samples of a channel are stored."""

    bits: int = 8
    is_float: bool = False


@dataclass(frozen=True)
class ExtraChannel:
    """A channel besides the colours."""

    type: int = ALPHA
    samples: Samples = Samples()
    shift: int = 0
    is_associated: bool = False


@dataclass(frozen=True)
class Colours:
    """What the colours mean.

    Attributes:
        space: Whether there are three or one.
        is_srgb: Whether white, primaries and transfer are those of sRGB.
        transfer: Number of the transfer function; None where it is a power.
        has_profile: Whether an ICC profile says all this.
        is_daylight: Whether white is D65.
        primaries: Number of the primaries, where there are some.
    """

    space: Space = "rgb"
    is_srgb: bool = True
    transfer: int | None = SRGB_TRANSFER
    has_profile: bool = False
    is_daylight: bool = True
    primaries: int = _SRGB_PRIMARIES


@dataclass(frozen=True)
class JxlMetadata:
    """What the header says of the picture.

    Attributes:
        width: px, as it is stored.
        height: px, as it is stored.
        samples: Of the colours.
        fits_16_bits: Whether a decoder may compute with 16 bits.
        extra: Channels besides the colours.
        is_absolute: Whether colours are coded as an eye sees them (XYB), as in lossy files.
        colours: What they mean.
        has_preview: Whether a small picture comes before the frames.
        is_animated: Whether frames follow each other in time.
        has_usual_light: Whether nothing is said of brightness, or of another way to code colours.
        frames_start: Where the frames begin; None where an ICC profile comes before them.
    """

    width: int
    height: int
    samples: Samples
    fits_16_bits: bool
    extra: tuple[ExtraChannel, ...]
    is_absolute: bool
    colours: Colours
    has_preview: bool
    is_animated: bool
    has_usual_light: bool
    frames_start: int | None


class _Bits:
    """Reads numbers from a stream of bits, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0  # bits

    def take(self, count: int) -> int:
        """The next number of so many bits."""
        end = self.at + count
        if end > 8 * len(self._data):
            raise CutShortError("the header goes on beyond the end of the file")
        first = self.at // 8
        number = int.from_bytes(self._data[first : -(-end // 8)], "little")
        number = number >> (self.at - 8 * first) & ((1 << count) - 1)
        self.at = end
        return number

    def flag(self) -> bool:
        """One bit."""
        return self.take(1) == 1

    def number(self, ways: _Ways) -> int:
        """A number that is coded in one of four ways."""
        bits, offset = ways[self.take(2)]
        return self.take(bits) + offset

    def skip_extensions(self) -> None:
        """Pass over fields of later versions of the format.

        Raises:
            ValueError: There are some: nobody knows what they say.
        """
        if self.take(2):
            raise ValueError("a header of a later version")


def read_metadata(stream: bytes) -> JxlMetadata:
    """The header of a codestream; its beginning is enough.

    Raises:
        CutShortError: It goes on beyond these bytes.
        ValueError: It is damaged, or of a later version.
    """
    if not stream.startswith(START):
        raise ValueError("a codestream that does not begin as one")
    bits = _Bits(stream[len(START) :])
    width, height = _read_size(bits)
    if bits.flag():
        return _with_transform(bits, width, height, _Fields())
    fields = _Fields()
    has_extra_fields = bits.flag()
    if has_extra_fields:
        _read_extra_fields(bits, fields)
        if fields.has_preview or fields.is_animated:
            # Such a file is copied, whatever else its header says.
            return _whole(width, height, fields, frames_start=None)
    fields.samples = _read_samples(bits)
    fields.fits_16_bits = bits.flag()
    count = bits.number(_EXTRA)
    if count > _MOST_EXTRA:
        raise ValueError("more channels than can be")
    extra = []
    for _ in range(count):
        extra.append(_read_extra(bits))
    fields.extra = tuple(extra)
    fields.is_absolute = bits.flag()
    fields.colours = _read_colours(bits)
    if has_extra_fields and not bits.flag():
        fields.has_usual_light = False
        bits.take(16 + 16 + 1 + 16)  # target, least, whether relative, linear below
    bits.skip_extensions()
    return _with_transform(bits, width, height, fields)


@dataclass
class _Fields:
    """What is gathered while reading; as it begins it is what a header says that says nothing."""

    samples: Samples = Samples()
    fits_16_bits: bool = True
    extra: tuple[ExtraChannel, ...] = ()
    is_absolute: bool = True
    colours: Colours = Colours()
    has_preview: bool = False
    is_animated: bool = False
    has_usual_light: bool = True


def _with_transform(bits: _Bits, width: int, height: int, fields: _Fields) -> JxlMetadata:
    """The whole header, after what it says of transforms."""
    has_usual_transform = bits.flag()
    frames_start = None
    if has_usual_transform and not fields.colours.has_profile:
        frames_start = len(START) + -(-bits.at // 8)
    fields.has_usual_light = fields.has_usual_light and has_usual_transform
    return _whole(width, height, fields, frames_start)


def _whole(width: int, height: int, fields: _Fields, frames_start: int | None) -> JxlMetadata:
    return JxlMetadata(
        width=width,
        height=height,
        samples=fields.samples,
        fits_16_bits=fields.fits_16_bits,
        extra=fields.extra,
        is_absolute=fields.is_absolute,
        colours=fields.colours,
        has_preview=fields.has_preview,
        is_animated=fields.is_animated,
        has_usual_light=fields.has_usual_light,
        frames_start=frames_start,
    )


def _read_size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.flag()
    height = 8 * (bits.take(5) + 1) if is_small else bits.number(_SIDE)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    width = 8 * (bits.take(5) + 1) if is_small else bits.number(_SIDE)
    return width, height


def _read_extra_fields(bits: _Bits, fields: _Fields) -> None:
    bits.take(3)  # orientation, less one
    if bits.flag():
        _read_size(bits)  # in which it is to be shown
    fields.has_preview = bits.flag()
    if not fields.has_preview:
        fields.is_animated = bits.flag()


def _read_samples(bits: _Bits) -> Samples:
    if bits.flag():
        count = bits.number(_FLOAT_BITS)
        bits.take(4)  # bits of the exponent
        return Samples(count, is_float=True)
    return Samples(bits.number(_BITS))


def _read_extra(bits: _Bits) -> ExtraChannel:
    if bits.flag():
        return ExtraChannel()
    kind = bits.number(_ENUM)
    samples = _read_samples(bits)
    shift = bits.number(_SHIFT)
    bits.take(8 * bits.number(_NAME))
    is_associated = False
    if kind == ALPHA:
        is_associated = bits.flag()
    elif kind == _SPOT_COLOUR:
        bits.take(4 * 16)
    elif kind == _COLOUR_FILTER:
        bits.number(_FILTER)
    return ExtraChannel(kind, samples, shift, is_associated)


def _read_colours(bits: _Bits) -> Colours:
    if bits.flag():
        return Colours()
    has_profile = bits.flag()
    number = bits.number(_ENUM)
    spaces: dict[int, Space] = {0: "rgb", 1: "grey"}
    space = spaces.get(number, "other")
    if has_profile or number == 2:
        if not has_profile:
            bits.number(_ENUM)  # rendering intent
        return Colours(space, is_srgb=False, transfer=None, has_profile=has_profile)
    white = bits.number(_ENUM)
    if white == _CUSTOM_WHITE:
        _skip_coordinates(bits, 1)
    primaries = _SRGB_PRIMARIES
    if space != "grey":
        primaries = bits.number(_ENUM)
        if primaries == _CUSTOM_PRIMARIES:
            _skip_coordinates(bits, 3)
    transfer = None
    if bits.flag():
        bits.take(24)  # a power
    else:
        transfer = bits.number(_ENUM)
    bits.number(_ENUM)  # rendering intent
    is_srgb = (white, primaries, transfer) == (_D65, _SRGB_PRIMARIES, SRGB_TRANSFER)
    return Colours(space, is_srgb, transfer, is_daylight=white == _D65, primaries=primaries)


def profile_stated_by(colours: Colours) -> bytes | None:
    """A profile of colours that are stated by numbers; None for grey, and what is near to sRGB."""
    if colours.space != "rgb" or not colours.is_daylight or colours.transfer is None:
        return None
    primaries = _WIDE_PRIMARIES.get(colours.primaries)
    return None if primaries is None else stated_profile(primaries, colours.transfer)


def _skip_coordinates(bits: _Bits, count: int) -> None:
    for _ in range(2 * count):
        bits.number(_COORDINATE)


def is_modular(frames: bytes) -> bool:
    """Whether the first frame is coded by prediction, as lossless ones are, and not by blocks."""
    bits = _Bits(frames[:1])
    if bits.flag():  # all as usual, which is by blocks
        return False
    bits.take(2)  # type of the frame
    return bits.flag()
