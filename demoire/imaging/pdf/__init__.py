"""Pictures in PDF files: listed, carved out as picture files, and put back when they are cleaned.

All that reads a PDF or unpacks a stream of one runs in a guarded child, since qpdf is native code
at work on files from outside (`guarded`). The writing is done here, and is plain: the file's own
bytes, and one incremental update behind them (`update`). Only a file that is to be written anew is
written by qpdf, in the child.

What runs in the child: `opening` opens a file or refuses it, `document` has what is in it,
`pictures_in_pdf` lists its pictures, `drawn` finds which of them a page draws and where,
`obstacles` tells which are left alone, `streams` carves a picture out and makes a stream of a
cleaned one (`samples`, `jpx` and others for each kind), `bilevel` carves out a black and white one,
`encryption` encrypts what is new.
"""

from demoire.imaging.pdf.guarded import carve, pictures_of, put_pictures
from demoire.imaging.pdf.picture import PdfPicture, PdfRefusedError

__all__ = ["PdfPicture", "PdfRefusedError", "carve", "pictures_of", "put_pictures"]
