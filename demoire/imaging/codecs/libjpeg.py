"""libjpeg itself, and its two structures: one for reading a file, one for writing it.

No package gives access to coefficients without reading and coding twice, or codes pixels in any
sampling and with any tables. So libjpeg is called directly, in the library that Pillow brings with
it (libjpeg-turbo). Its functions are public. Of its structures only some fields are touched, at the
offsets that version 6.2 of the interface fixes.
libjpeg checks the version and the sizes of the structures that it is given, and this module checks
what it reads first against the file: another interface is refused, never misread.

Where libjpeg gives up it ends the process. So all of this belongs into a child process, and into
one thread of it; but for `check_interface`, which any process may ask before it begins.

References:
    jpeglib.h of libjpeg-turbo for the structures.
"""

import ctypes
from functools import cache
from typing import Any

from demoire.errors import MachineError

_VERSION = 62  # of the interface, as most systems and all of Pillow's own packages have it
# Sizes of structures in bytes, where pointers have 64 bits.
_ERROR_MANAGER = 168
_DECOMPRESS = 632
_COMPRESS = 520
_LARGEST = 4096  # more than a structure takes in any version

# error_exit(cinfo), the first field of the error manager
_EXIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LibjpegError(RuntimeError):
    """A library with another interface than this module knows."""


class Structure:
    """One of the structures that libjpeg's functions take first.

    Attributes:
        library: libjpeg, with all its functions.
        content: What the functions take.
    """

    def __init__(self, size: int) -> None:
        """Make one whose first field, the error manager, is set; libjpeg does not know it yet."""
        self.library = _library()
        self.content = ctypes.create_string_buffer(size)
        self._errors = ctypes.create_string_buffer(_ERROR_MANAGER)
        errors_at = self.library.jpeg_std_error(self._errors)
        ctypes.c_void_p.from_buffer(self.content).value = errors_at

    @classmethod
    def for_reading(cls) -> "Structure":
        """A structure of decompression."""
        structure = cls(_DECOMPRESS)
        structure.library.jpeg_CreateDecompress(structure.content, _VERSION, _DECOMPRESS)
        return structure

    @classmethod
    def for_writing(cls) -> "Structure":
        """A structure of compression."""
        structure = cls(_COMPRESS)
        structure.library.jpeg_CreateCompress(structure.content, _VERSION, _COMPRESS)
        return structure

    @property
    def address(self) -> int:
        """Where it begins."""
        return ctypes.addressof(self.content)

    def set(self, at: int, value: int) -> None:
        """Set the number at an offset."""
        ctypes.c_int.from_buffer(self.content, at).value = value


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
    library.jpeg_write_scanlines.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    library.free.argtypes = [ctypes.c_void_p]
    return library
