"""What each column of the report means: for readers, and for docs/reference.md.

Beside `REPORT_SCHEMA`, which has names, types and order. A test holds the two together.
"""

MEANINGS: dict[str, str] = {
    "source": "The archive or folder, by its path under DST",
    "member": "Name of the image in its source",
    "page": "Page of a file with several pages, from 1; 0 for any other image",
    "image_id": "Names the image for good: the source's id and the image's position in it",
    "source_kind": "tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip or folder",
    "width": "px, as stored; null where the header could not be read",
    "height": "px, as stored; null where the header could not be read",
    "mode": "Pixel mode by Pillow's names (L, RGB, CMYK ...); 16-bit grey is L with `bits` 16",
    "bits": "Bits per sample",
    "dpi": "Horizontal resolution in px per inch; null where the file does not say; "
    "of a picture in a PDF, as it is placed on its page",
    "icc": "Description of the colour profile; null where there is none",
    "bytes_in": "Bytes of the image as it came, unpacked",
    "bytes_out": "Bytes of the image in the mirror, unpacked; 0 where it is withheld",
    "sha256_in": "Digest of the image as it came; null where its bytes were never read whole",
    "sha256_out": "Digest of the image in the mirror; equals `sha256_in` unless it was cleaned",
    "status": "cleaned, copied or quarantined; withheld for what is not in the mirror",
    "reason": (
        "Why it is in quarantine, withheld, or copied although it may hold moiré; of a cleaned "
        "image that its signature was removed; else null"
    ),
    "moire_before": (
        "Probability, 0 to 1, that the image holds moiré, as it came; null where nothing was "
        "judged, as of an image with a side below 64 px"
    ),
    "moire_after": "The same of the pixels in the cleaned file; null unless cleaned",
    "moire_kind": "Most probable kind: none, screen, halftone or texture",
    "tiles": "Cells of 256 px that the detector judged",
    "tiles_restored": "Cells of them that were restored",
    "psnr_vs_input": "Likeness of the cleaned image and the image as it came, PSNR in dB",
    "ssim_vs_input": "The same as SSIM in windows of 8 x 8 px, at most 1",
    "colour_shift": "Mean difference in colour between the two, CIEDE2000",
    "psnr_vs_reference": "PSNR in dB against the true picture, where one is known; else null",
    "ssim_vs_reference": "The same as SSIM in the Gaussian windows of its authors",
    "ms_fetch": "Milliseconds of reading it, its share of the unit's",
    "ms_decode": "Milliseconds of decoding",
    "ms_detect": "Milliseconds in the detector",
    "ms_restore": "Milliseconds in the restorer",
    "ms_encode": "Milliseconds of encoding",
    "weights_digest": "sha256 of the restorer's weights; empty where no process saw the image",
    "config_fingerprint": "Digest of all that decides how an image comes out",
    "unit_id": "The unit that it was cleaned in",
    "attempt": "The unit's attempt that was committed, from 1",
    "run_id": "The run that cleaned it; sorts by time",
    "host": "Machine that cleaned it",
    "device": "Device of the models; empty where no process saw the image",
    "finished_at": "When it was done, UTC",
}
