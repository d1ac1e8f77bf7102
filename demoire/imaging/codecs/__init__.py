"""One module a file format: pixels out of the original's bytes, and new pixels back into them.

All of them keep one rule: a cleaned file is the original file with other pixel data. What surrounds
the pixels (metadata of any vendor, colour profiles, comments, thumbnails, trailers) is never parsed
and written anew. It stays as the bytes it was, so there is no list of things to keep that could
have a hole.

Each module implements `demoire.imaging.codecs.base.Codec`, and `demoire.imaging.formats` lists them
all. Codecs raise whatever their libraries raise; `demoire.imaging.images` turns that into
ImageError.
"""
