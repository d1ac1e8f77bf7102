"""What an HEVC picture says of its colours in its own coded bytes: a part of its parameter set.

Decoders go by it where the file around the picture says nothing, as files of phones do. It stands
behind all else in the set, so all else has to be read.

References:
    ITU-T H.265: NAL units (7.3.1), sequence parameter set (7.3.2.2), profile and level (7.3.3), VUI
    (E.2.1). ISO/IEC 14496-15, 8.3.3.1 (hvcC).
"""

import struct

_SEQUENCE_SET = 33  # type of NAL unit
_ARRAYS = 22  # bytes before the number of arrays in hvcC
_EXTENDED_RATIO = 255


class _BitReader:
    """Numbers of a NAL unit, one after the other."""

    def __init__(self, unit: bytes) -> None:
        plain = unit.replace(b"\0\0\3", b"\0\0")  # without the bytes that keep start codes away
        self._bits = "".join(f"{byte:08b}" for byte in plain)
        self._at = 0

    def take(self, count: int) -> int:
        """A number of so many bits."""
        end = self._at + count
        if end > len(self._bits):
            raise ValueError("a set that is too short")
        taken = self._bits[self._at : end]
        self._at = end
        return int(taken or "0", 2)

    def flag(self) -> bool:
        """One bit."""
        return self.take(1) == 1

    def number(self) -> int:
        """A number of Exp-Golomb's code: as many bits as there are zeros before it."""
        zeros = 0
        while not self.flag():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def skip_numbers(self, count: int) -> None:
        """Go behind some numbers of that code."""
        for _ in range(count):
            self.number()


def colours_in(configuration: bytes) -> tuple[int, int, int] | None:
    """Numbers of primaries, transfer and matrix of samples in full range.

    Args:
        configuration: The payload of an `hvcC` box.

    Returns:
        None where samples are in a limited range, nothing is said, or the set is damaged.
    """
    try:
        return _colours_of_set(_BitReader(_sequence_set(configuration)))
    except (ValueError, struct.error, IndexError):
        return None


def _sequence_set(configuration: bytes) -> bytes:
    """The first sequence parameter set, behind the header of its NAL unit."""
    at = _ARRAYS + 1
    for _ in range(configuration[_ARRAYS]):
        kind, count = struct.unpack_from(">BH", configuration, at)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, at)
            at += 2
            if kind & 63 == _SEQUENCE_SET:
                return configuration[at + 2 : at + length]
            at += length
    raise ValueError("no set")


def _colours_of_set(bits: _BitReader) -> tuple[int, int, int] | None:
    bits.take(4)  # the video parameter set
    layers = bits.take(3)
    bits.flag()
    _skip_profile_and_level(bits, layers)
    bits.number()  # of the set
    is_full_colour = bits.number() == 3
    if is_full_colour:
        bits.flag()  # whether planes are coded apart
    bits.skip_numbers(2)  # width and height
    if bits.flag():
        bits.skip_numbers(4)  # the part that is shown
    bits.skip_numbers(2)  # bits of a sample
    order_bits = bits.number() + 4
    has_all_layers = bits.flag()
    bits.skip_numbers(3 * (layers + 1 if has_all_layers else 1))
    bits.skip_numbers(6)  # sizes of blocks
    _skip_tools(bits)
    _skip_references(bits, order_bits)
    bits.take(2)  # motion vectors, smoothing
    return _stated_colours(bits) if bits.flag() else None


def _skip_profile_and_level(bits: _BitReader, layers: int) -> None:
    bits.take(96)
    are_there = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in are_there:
        bits.take(88 if has_profile else 0)
        bits.take(8 if has_level else 0)


def _skip_tools(bits: _BitReader) -> None:
    has_scaling = bits.flag()
    if has_scaling and bits.flag():
        _skip_scaling_lists(bits)
    bits.take(2)  # asymmetric partitions, offsets of samples
    has_plain_samples = bits.flag()
    if has_plain_samples:
        bits.take(8)
        bits.skip_numbers(2)
        bits.flag()


def _skip_scaling_lists(bits: _BitReader) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            is_listed = bits.flag()
            if is_listed:
                bits.skip_numbers((16, 64, 65, 65)[size])
            else:
                bits.number()


def _skip_references(bits: _BitReader, order_bits: int) -> None:
    pictures = 0  # that the set before refers to
    for index in range(bits.number()):
        is_predicted = index > 0 and bits.flag()
        pictures = _predicted_pictures(bits, pictures) if is_predicted else _listed_pictures(bits)
    has_long_term = bits.flag()
    if has_long_term:
        for _ in range(bits.number()):
            bits.take(order_bits + 1)


def _predicted_pictures(bits: _BitReader, before: int) -> int:
    """How many pictures a set refers to that is told by the one before."""
    bits.flag()
    bits.number()
    pictures = 0
    for _ in range(before + 1):
        is_used = bits.flag()
        if is_used or bits.flag():
            pictures += 1
    return pictures


def _listed_pictures(bits: _BitReader) -> int:
    """How many pictures a set refers to that lists them, earlier and later ones."""
    pictures = bits.number() + bits.number()
    for _ in range(pictures):
        bits.number()
        bits.flag()
    return pictures


def _stated_colours(bits: _BitReader) -> tuple[int, int, int] | None:
    has_ratio = bits.flag()
    if has_ratio and bits.take(8) == _EXTENDED_RATIO:
        bits.take(32)
    has_overscan = bits.flag()
    if has_overscan:
        bits.flag()
    has_signal = bits.flag()
    if not has_signal:
        return None
    bits.take(3)
    is_full_range = bits.flag()
    is_described = bits.flag()
    if not is_full_range or not is_described:
        return None
    return bits.take(8), bits.take(8), bits.take(8)
