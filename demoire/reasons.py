"""Why an image was quarantined, withheld, or copied although it may hold moiré: told once for all.

The report page, the table in docs/nothing-lost.md and `demoire retry` read the meaning and the
remedy from here. The values are promises: they stand in the report's column `reason`.
"""

from enum import StrEnum
from typing import Literal

ReasonStatus = Literal["quarantined", "copied", "cleaned", "withheld"]


class Reason(StrEnum):
    """Why an image did not come out cleaned, or an object is not in the mirror at all.

    Its value is what the report says.
    """

    meaning: str  # what happened, as a clause without a full stop
    remedy: str  # what the reader can do about it
    status: ReasonStatus  # what becomes of the image, or of an object that is withheld

    def __new__(
        cls, value: str, meaning: str, remedy: str, status: ReasonStatus = "quarantined"
    ) -> "Reason":
        """Make one reason.

        Args:
            value: What the report says.
            meaning: What happened.
            remedy: What the reader can do about it.
            status: What becomes of it: quarantined and copied images are in the mirror as they
                came, what is withheld is not in the mirror.
        """
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.meaning = meaning
        reason.remedy = remedy
        reason.status = status
        return reason

    @classmethod
    def of(cls, value: str) -> "Reason":
        """The reason that the report gives by this value.

        Raises:
            ValueError: There is none.
        """
        for reason in cls:
            if reason.value == value:
                return reason
        raise ValueError(f"{value} is no reason")

    TRUNCATED = (
        "truncated",
        "the file ends before its picture does, whatever its last bytes say",
        "fetch it again",
    )
    NOT_AN_IMAGE = (
        "not_an_image",
        "the name says image, the bytes do not",
        "look at it",
    )
    UNSUPPORTED_FORMAT = (
        "unsupported_format",
        "an image of a format that is not cleaned",
        "for HEIC install `demoire[heif]`, then run the same command again; else convert it, or "
        "leave it as it is",
        "copied",
    )
    DECODE_FAILED = (
        "decode_failed",
        "the decoder gave up, or warned of spoilt data",
        "look at it",
    )
    TOO_LARGE = (
        "too_large",
        "more megapixels, a longer side or more bytes than the limit",
        "`retry` with `--max-megapixels`, `--max-side`",
    )
    COMPRESSION_BOMB = (
        "compression_bomb",
        "so few bytes for so large a content that it must be a trap, or a very large blank sheet",
        "look at it",
    )
    DECODER_LIMIT = (
        "decoder_limit",
        "its decoder took more time or memory than any such picture needs",
        "look at it",
    )
    UNSAFE_NAME = (
        "unsafe_name",
        "in an archive, under a name that leaves its folder",
        "rename it",
    )
    UNREADABLE = (
        "unreadable",
        "the archive's bytes for it do not check out, or it is encrypted; "
        "for an archive: it cannot be indexed",
        "repair or unpack it",
    )
    UNKNOWN_PACKING = (
        "unknown_packing",
        "in a zip, packed by a method that is not read, such as deflate64",
        "pack it anew by deflate, or unpack it",
    )
    CLEANING_FAILED = (
        "cleaning_failed",
        "the model gave no usable picture",
        "`retry` with other weights",
    )
    ENCODE_FAILED = (
        "encode_failed",
        "the cleaned picture could not be written, or not be read again, "
        "or not be put into its archive",
        "look at it",
    )
    FOREIGN_OBJECT = (
        "foreign_object",
        "a file that this program did not write, or that was changed since, lies where its mirror "
        "would go",
        "move that file away, then run the same command again",
        "withheld",
    )
    NATIVE_CRASH = (
        "native_crash",
        "its decoder died of it, or the whole process did, twice",
        "look at it, and tell the decoder's makers",
    )
    MODE_NOT_CLEANED = (
        "mode_not_cleaned",
        "its pixels are of a kind that is not cleaned, such as Lab, special inks or greys of less "
        "than 8 bits, or in a coding that is not written",
        "convert it if it shows moiré, or leave it as it is",
        "copied",
    )
    BILEVEL = (
        "bilevel",
        "its pixels are black or white and nothing between: its dots are its greys",
        "`--bilevel grey` puts a grey picture beside it if it shows dots; a scan in grey is better",
        "copied",
    )
    PALETTE = (
        "palette",
        "its pixels are numbers of colours in a palette, and its dots are meant",
        "convert it to RGB if it shows moiré, or leave it as it is",
        "copied",
    )
    FLOAT_SAMPLES = (
        "float_samples",
        "its samples are floating point or 32-bit numbers, of which no range is known",
        "convert it to 16 bits if it shows moiré, or leave it as it is",
        "copied",
    )
    ANIMATED = (
        "animated",
        "a moving picture: GIF, WebP or PNG of several frames",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    NO_GAIN = (
        "no_gain",
        "what restoring takes away does not look like a pattern, or leaves as much moiré as before",
        "look at it; `fix --gate off` restores it all the same",
        "copied",
    )
    CAMERA_RAW = (
        "camera_raw",
        "a camera's raw file, in which only a preview is a picture",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    SIGNED = (
        "signed",
        "a signature vouches for its pixels, and would call any change tampering: a signed "
        "manifest (C2PA), in a PDF a signed field or a limit on changes, or that of an office "
        "document",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    SIGNATURE_REMOVED = (
        "signature_removed",
        "it was signed (C2PA), and was cleaned without its manifest, as `--allow-signed` asks",
        "nothing is needed; sign it anew where that matters",
        "cleaned",
    )
    STALE_DATA = (
        "stale_data",
        "it holds a thumbnail, preview, gain map, depth image or index of its old pixels that "
        "cannot be made anew",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    DITHERED = (
        "dithered",
        "it is in few colours, and the dots between them are meant",
        "nothing is needed; `fix --gate off` restores it all the same",
        "copied",
    )
    DRAWN_PATTERN = (
        "drawn_pattern",
        "its pattern is stronger than moiré ever is, such as the screentone of a comic page or the "
        "classes of a map: it is taken for the artwork",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    MULTI_PAGE = (
        "multi_page",
        "several pages that are not taken apart: a TIFF or PDF that has too many, a TIFF that is "
        "signed or has a damaged chain of them, a JPEG 2000, HEIC or AVIF",
        "repair it, or clean its pages or pictures one by one, as files of their own",
        "copied",
    )
    ENCRYPTED = (
        "encrypted",
        "a PDF that no password at hand opens, or that anyone can open but nobody is to change; an "
        "office document that is encrypted",
        "run the same command with `--pdf-password-file`; or remove the encryption from a copy, of "
        "a PDF with `qpdf --decrypt IN OUT`, and clean that",
        "copied",
    )
    DAMAGED_DOCUMENT = (
        "damaged_document",
        "a PDF that can only be read by repairing it: its cross-references, lengths or objects are "
        "wrong",
        "repair a copy with `qpdf IN OUT`, and clean that",
    )
    LAYERED_PAGE = (
        "layered_page",
        "in a PDF, a picture that lies over or under another one: its moiré may come of both; or "
        "the foreground of a page whose background is cleaned",
        "look at the page; export it as one picture if it shows moiré, and clean that",
        "copied",
    )
    SMALL_PICTURE = (
        "small_picture",
        "in a PDF, a picture of less than 64 px on its shorter side, such as an icon or a rule",
        "nothing is needed; it is copied as it is",
        "copied",
    )
    LINK_OUTSIDE = (
        "link_outside",
        "a link to something that is not in the mirror: it leads out of SRC, or to what SRC leaves "
        "out; a linked folder is withheld with all that it holds",
        "put the file or folder in its place, or clean its target as a source of its own",
        "withheld",
    )
    LINK_NOT_KEPT = (
        "link_not_kept",
        "a link to something that is in the mirror, but DST keeps no links",
        "nothing is needed, or choose a DST that keeps links",
        "withheld",
    )
    SPECIAL_FILE = (
        "special_file",
        "a device, pipe or socket",
        "nothing is needed",
        "withheld",
    )
    NO_ACCESS = (
        "no_access",
        "a file that this program may not read, or a folder that it may not list, with all in it",
        "let this program's user read it, then run the same command again",
        "withheld",
    )
    UNSAFE_PATH = (
        "unsafe_path",
        "a file or key whose name leads out of its folder, on this or another system",
        "rename it",
        "withheld",
    )
    NAME_REFUSED = (
        "name_refused",
        "DST cannot hold the name: it is too long, has characters that are not allowed there, or "
        "is one that this program gives to files while it writes them",
        "rename it, or choose another DST; a file that a killed run left unfinished can go",
        "withheld",
    )
    BOOKKEEPING = (
        "bookkeeping",
        "SRC is itself a mirror, and these are the notes of the run that made it",
        "nothing is needed; to clean a second time seldom helps, the originals are a better SRC",
        "withheld",
    )
    NAME_TAKEN = (
        "name_taken",
        "something else has its name at DST: a folder where a file must be, the other way round, "
        "or a name that differs only in case",
        "rename one of the two, or choose another DST",
        "withheld",
    )
