"""The tags of a TIFF directory that matter here, by name, and the types of their values.

References:
    Adobe, "TIFF Revision 6.0" (1992), sections 2, 8 and appendix A; "TIFF Technical Note 1" (1995),
    SubIFDs; Adobe, "Photoshop TIFF Technical Notes" (2002), ImageSourceData; CIPA DC-008 (Exif);
    Adobe, "Digital Negative Specification" 1.7; Adobe, "XMP Specification, Part 3"; C2PA,
    "Technical Specification 2.1", A.3.3.
"""

NEW_SUBFILE_TYPE = 254
WIDTH = 256
HEIGHT = 257
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
STRIP_OFFSETS = 273
ORIENTATION = 274
SAMPLES = 277  # of a pixel
STRIP_SIZES = 279
TILE_OFFSETS = 324
TILE_SIZES = 325
SUB_DIRECTORIES = 330
INK_SET = 332
SAMPLE_FORMAT = 339
JPEG_TABLES = 347
YCBCR_SUBSAMPLING = 530
XMP = 700
EXIF = 34665
GPS = 34853
IMAGE_SOURCE_DATA = 37724  # Photoshop's layers
INTEROPERABILITY = 40965
DNG_VERSION = 50706
MANIFEST = 52545  # of C2PA, signed

JPEG_OFFSET = 513  # of a whole JPEG file: a thumbnail in Exif, or JPEG as in section 22
JPEG_BYTES = 514
OLD_JPEG = (JPEG_OFFSET, JPEG_BYTES, 519, 520, 521)  # where the parts of JPEG as in section 22 lie

REDUCED = 1  # bit of NewSubfileType: a smaller version of another page

# Types of values
BYTE, SHORT, LONG, LONG8 = 1, 3, 4, 16
# Bytes of one value, by type: BYTE, ASCII, SHORT, LONG, RATIONAL, then their signed twins and
# floats; 13 is an offset, 16 to 18 are those of BigTIFF.
VALUE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
# The types that are whole numbers, as `struct` reads them: BYTE, SHORT, LONG, IFD, LONG8, IFD8.
NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
