"""One module a file format: pixels out of the original's bytes, and new pixels back into them.

All of them keep one rule: a cleaned file is the original file with other pixel data. What surrounds
the pixels (metadata of any vendor, colour profiles, comments, thumbnails, trailers) is never parsed
and written anew, it stays as the bytes it was, so there is no list of what is kept that could have
a hole.

Each module has `read(data, image) -> Raster`, `write(data, raster, pixels) -> bytes` and
`is_cut_short(data) -> bool`; `image` is Pillow's view of the header. They raise whatever their
libraries raise: `demoire.imaging.images` turns that into ImageError.
"""
