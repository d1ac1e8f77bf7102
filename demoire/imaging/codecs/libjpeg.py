"""The coefficients of a JPEG file, read and written by libjpeg itself: once each.

No package gives access to coefficients without reading and coding twice, so libjpeg is called
directly, in the library that Pillow brings with it (libjpeg-turbo). Its functions are public. Of
its structures only some fields are touched, at the offsets that version 6.2 of the interface fixes.
libjpeg checks the version and the sizes of the structures that it is given, and this module checks
what it reads first against the file: another interface is refused, never misread.

Where libjpeg gives up it ends the process. So all of this belongs into a child process, and into
one thread of it; but for `check_interface`, which any process may ask before it begins.

Reading takes 2 ms a megapixel, writing with optimal tables 3, a core each. The coefficients are
2 bytes a sample, in arrays of ours (`demoire.imaging.codecs.libjpeg_memory`).

References:
    libjpeg.txt of the Independent JPEG Group, "Advanced features", for the coefficients;
    jpeglib.h of libjpeg-turbo for the structures.
"""

import ctypes
from functools import cache
from typing import Any

from demoire.errors import MachineError
from demoire.imaging.codecs.jpeg_parts import PROGRESSIVE, Frame, take_apart
from demoire.imaging.codecs.libjpeg_memory import BlockMemory, Blocks, pointer_at

_VERSION = 62  # of the interface, as most systems and all of Pillow's own packages have it
# Sizes of structures in bytes, and offsets of fields in them, where pointers have 64 bits.
_ERROR_MANAGER = 168
_DECOMPRESS = 632
_COMPRESS = 520
_COMPONENT = 96
_COMPONENTS_AT = 56  # in decompress: how many components there are
_COMPONENT_INFO_AT = 304
_COLUMNS_AT = 28  # in a component: its blocks in a row, then its rows of blocks
_OPTIMISE_AT = 264  # in compress

_LARGEST = 4096  # bytes: more than a structure takes in any version

# error_exit(cinfo), the first field of the error manager
_EXIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LibjpegError(RuntimeError):
    """A library with another interface than this module knows."""


def check_interface() -> None:
    """Hold the library against what this module knows of it.

    Raises:
        MachineError: Pillow brings none, or one of another version.
    """
    try:
        fits = _fits(_library())
    except (AttributeError, OSError):  # built into Pillow, and not to be called from outside
        fits = False
    if not fits:
        raise MachineError(
            "Pillow has another libjpeg here than changed JPEG files are written with (interface "
            f"{_VERSION / 10}): install the Pillow of its own project (pip install "
            "--force-reinstall pillow), then run the same command again."
        )


def _fits(library: Any) -> bool:
    """Whether libjpeg takes the version and the sizes of our structures.

    It looks at them first of all. Where they are wrong it calls a function that should not return;
    this one does, and libjpeg goes on to a structure that has room for any version.
    """
    refusals: list[int] = []
    note_refusal = _EXIT(refusals.append)
    errors = ctypes.create_string_buffer(_LARGEST)
    structure = ctypes.create_string_buffer(_LARGEST)
    ctypes.c_void_p.from_buffer(structure).value = library.jpeg_std_error(errors)
    ctypes.c_void_p.from_buffer(errors).value = ctypes.cast(note_refusal, ctypes.c_void_p).value
    library.jpeg_CreateDecompress(structure, _VERSION, _DECOMPRESS)
    library.jpeg_destroy_decompress(structure)
    library.jpeg_CreateCompress(structure, _VERSION, _COMPRESS)
    library.jpeg_destroy_compress(structure)
    return not refusals


class Coefficients:
    """A JPEG file of which single blocks, or all of them, can be replaced."""

    def __init__(self, data: bytes, *, are_read: bool = True) -> None:
        """Read the coefficients of a file that can be decoded.

        Args:
            data: The file.
            are_read: False where all blocks will be replaced: until then they are zeros.

        Raises:
            LibjpegError: The library is another one.
        """
        self._frame = take_apart(data).frame
        self._data = data  # libjpeg reads from it
        self._library = _library()
        self._errors = ctypes.create_string_buffer(_ERROR_MANAGER)
        self._source = self._structure(_DECOMPRESS)
        self._memory = BlockMemory()
        library = self._library
        library.jpeg_CreateDecompress(self._source, _VERSION, _DECOMPRESS)
        self._memory.serve(self._source)
        library.jpeg_mem_src(self._source, data, len(data))
        library.jpeg_read_header(self._source, 1)
        shapes = tuple(self._shapes())
        if shapes != tuple(blocks_of(self._frame, i) for i in range(self._frame.components)):
            raise LibjpegError("libjpeg says other sizes than the file")
        if are_read:
            self._arrays = library.jpeg_read_coefficients(self._source)
        else:
            self._arrays = self._memory.make(_in_whole_units(shapes, self._frame))
        if len(self._memory.arrays) != len(shapes):
            raise LibjpegError("libjpeg has not asked for the memory of its blocks")

    def blocks(self, component: int) -> Blocks:
        """The blocks of a component, to be changed in place."""
        return self._memory.arrays[component]

    def let_go(self) -> None:
        """Give back the memory of blocks that lie in a file, and are not needed for a while."""
        self._memory.let_go()

    def coded(self) -> bytes:
        """The file with its blocks as they are now, progressive if it was; can be asked for once.

        It has optimal Huffman tables and no restart markers.
        """
        library = self._library
        target = self._structure(_COMPRESS)
        out = ctypes.c_void_p()
        size = ctypes.c_ulong()
        library.jpeg_CreateCompress(target, _VERSION, _COMPRESS)
        self._memory.serve(target)
        library.jpeg_mem_dest(target, ctypes.byref(out), ctypes.byref(size))
        library.jpeg_copy_critical_parameters(self._source, target)
        ctypes.c_int.from_buffer(target, _OPTIMISE_AT).value = 1
        if self._frame.marker == PROGRESSIVE:
            library.jpeg_simple_progression(target)
        library.jpeg_write_coefficients(target, self._arrays)
        library.jpeg_finish_compress(target)
        written = ctypes.string_at(out, size.value)
        library.jpeg_destroy_compress(target)
        library.free(out)
        library.jpeg_destroy_decompress(self._source)
        return written

    def _structure(self, size: int) -> "ctypes.Array[ctypes.c_char]":
        """A structure of libjpeg's whose first field, the error manager, is set."""
        structure = ctypes.create_string_buffer(size)
        errors = self._library.jpeg_std_error(self._errors)
        ctypes.c_void_p.from_buffer(structure).value = errors
        return structure

    def _shapes(self) -> "list[tuple[int, int]]":
        """Rows of blocks in each component, and blocks in a row, as libjpeg has them.

        Raises:
            LibjpegError: The number of components is not where it should be.
        """
        at = ctypes.addressof(self._source)
        count = ctypes.c_int.from_address(at + _COMPONENTS_AT).value
        if count != self._frame.components:
            raise LibjpegError("libjpeg says another number of components than the file")
        info = pointer_at(at + _COMPONENT_INFO_AT)
        shapes = []
        for number in range(count):
            sizes = (ctypes.c_uint * 2).from_address(info + number * _COMPONENT + _COLUMNS_AT)
            columns, rows = sizes
            shapes.append((rows, columns))
        return shapes


def blocks_of(frame: Frame, component: int) -> tuple[int, int]:
    """Rows of blocks in a component, and blocks in a row, without the padding of the last unit."""
    height, width = frame.size
    factors = frame.factors
    most_across = max(across for across, _ in factors)
    most_down = max(down for _, down in factors)
    across, down = factors[component]
    return -(-height * down // (8 * most_down)), -(-width * across // (8 * most_across))


def _in_whole_units(
    shapes: "tuple[tuple[int, int], ...]", frame: Frame
) -> "tuple[tuple[int, int], ...]":
    """Rows and columns of blocks with the padding of the last units."""
    padded = []
    for (rows, columns), (across, down) in zip(shapes, frame.factors, strict=True):
        padded.append((-(-rows // down) * down, -(-columns // across) * across))
    return tuple(padded)


@cache
def _library() -> Any:
    """libjpeg as Pillow has loaded it, with the types of what is called."""
    from PIL import _imaging

    # Symbols of the libraries that Pillow's own one needs are found through it.
    library = ctypes.CDLL(_imaging.__file__)
    library.jpeg_std_error.restype = ctypes.c_void_p
    library.jpeg_read_coefficients.restype = ctypes.POINTER(ctypes.c_void_p)
    library.jpeg_destroy_decompress.argtypes = [ctypes.c_void_p]
    library.jpeg_destroy_compress.argtypes = [ctypes.c_void_p]
    size = ctypes.c_size_t
    library.jpeg_CreateDecompress.argtypes = [ctypes.c_void_p, ctypes.c_int, size]
    library.jpeg_CreateCompress.argtypes = [ctypes.c_void_p, ctypes.c_int, size]
    library.jpeg_mem_src.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong]
    library.free.argtypes = [ctypes.c_void_p]
    return library
