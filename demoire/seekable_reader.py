"""The half of a read-only, seekable file that is the same wherever its bytes come from."""

import errno
import io
import os


class SeekableReader(io.RawIOBase):
    """A read-only file. Subclasses add `seek` and `readinto`, and move `_position` in both."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in the file, bytes."""
        return self._position


class SizedReader(SeekableReader):
    """A file of known size, in which any position can be read. Subclasses add `readinto`."""

    def __init__(self, size: int) -> None:
        """`size`: of the file, bytes."""
        super().__init__()
        self._size = size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another position, beyond the end too; nothing is read yet."""
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        position = origins[whence] + offset
        if position < 0:
            raise OSError(errno.EINVAL, "cannot seek before the beginning")
        self._position = position
        return position
