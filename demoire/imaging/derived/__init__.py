"""What in a file was derived from its pixels, and would be wrong beside other pixels.

A cleaned file keeps every byte that it does not understand. That is right for all but what was
derived from the pixels or points at where they lie. For each kind there is one rule:

    kind                                        rule
    thumbnail in Exif IFD1, JFIF, JFXX          made anew, in the same size and format
    preview elsewhere in Exif (MakerNote)       made anew in place, in no more bytes than it had
    thumbnail in Photoshop's resources          made anew, the same way
    preview behind the picture (MPF)            made anew, the same way
    gain map, depth map behind the picture      kept; the index (MPF) finds it where it lies now
    offsets and sizes in an index (MPF)         corrected
    thumbnail of a page in a PDF                left out: readers draw their own
    Apple's iDOT in a PNG                       left out: it only tells a faster way to decode
    unknown PNG chunk that is unsafe to copy    left out, as the format asks
    signed manifest (C2PA)                      the image is copied: its signature would break;
                                                with `allow_signed` the manifest is left out
    history in XMP (xmpMM:History)              one more entry says what changed the file

What can neither be kept true nor be made anew raises StaleDataError: then the image is copied, with
a reason.
"""


class StaleDataError(ValueError):
    """The file holds data that was derived from its old pixels and cannot be made anew."""
