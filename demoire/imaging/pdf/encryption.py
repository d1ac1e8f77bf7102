"""What an update adds to an encrypted PDF, encrypted with the file's own key. Runs in the child.

qpdf derives the key from a password, and decrypts whatever is read. It encrypts only files that it
writes as a whole, so the objects of an update are encrypted here. Equal input gives equal bytes:
initialisation vectors are digests of what they are for, under the file's key.

References:
    ISO 32000-1:2008, 7.6.2, algorithm 1 (RC4 and AESV2). ISO 32000-2:2020, 7.6.3.3, algorithm 1.A
    (AESV3).
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Literal

import pikepdf
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from demoire.imaging.pdf.drawn import ObjectId

Method = Literal["none", "rc4", "aes", "aesv3"]

_METHODS: tuple[Method, ...] = ("none", "rc4", "aes", "aesv3")
_FIRST_WITH_FILTERS = 4  # version of encryption from which a file says how it encrypts what
_RC4_LENGTHS = (5, 16)  # bytes of a file's key that are in use, and that the cipher takes
_MOST_KEY = 16  # bytes of an object's key
_SALT = b"sAlT"  # tells the keys of AES from those of RC4
_BLOCK = 16  # bytes


@dataclass(frozen=True)
class Encryption:
    """How an open file encrypts its objects.

    Attributes:
        key: Of the file.
        streams: Its method for streams.
        strings: Its method for strings.
    """

    key: bytes = field(repr=False)
    streams: Method
    strings: Method

    @staticmethod
    def of(pdf: pikepdf.Pdf) -> "Encryption | None":
        """That of a file which is open; None where it is one that cannot be written."""
        facts = pdf.encryption
        key = facts.encryption_key
        if facts.V < _FIRST_WITH_FILTERS:
            return Encryption(key, "rc4", "rc4") if len(key) in _RC4_LENGTHS else None
        streams = _method(facts.stream_method)
        strings = _method(facts.string_method)
        if streams is None or strings is None:
            return None
        return Encryption(key, streams, strings)

    def stream(self, data: bytes, object_id: ObjectId) -> bytes:
        """A stream's data, encrypted."""
        return self._encrypted(self.streams, data, object_id)

    def with_strings(self, thing: Any, object_id: ObjectId) -> Any:
        """A direct object like this one, with all strings in it encrypted."""
        if getattr(thing, "is_indirect", False):
            return thing
        if isinstance(thing, pikepdf.String):
            return pikepdf.String(self._encrypted(self.strings, bytes(thing), object_id))
        if isinstance(thing, pikepdf.Array):
            return pikepdf.Array([self.with_strings(inner, object_id) for inner in thing])
        if isinstance(thing, pikepdf.Dictionary):
            encrypted = pikepdf.Dictionary()
            for key, value in thing.items():
                encrypted[key] = self.with_strings(value, object_id)
            return encrypted
        return thing

    def _encrypted(self, method: Method, data: bytes, object_id: ObjectId) -> bytes:
        match method:
            case "none":
                return data
            case "rc4":
                return _rc4(self._object_key(object_id, b""), data)
            case "aes":
                return _aes(self._object_key(object_id, _SALT), data)
            case "aesv3":
                return _aes(self.key, data)

    def _object_key(self, object_id: ObjectId, salt: bytes) -> bytes:
        number, generation = object_id
        parts = self.key + number.to_bytes(3, "little") + generation.to_bytes(2, "little") + salt
        digest = hashlib.md5(parts, usedforsecurity=False).digest()
        return digest[: min(len(self.key) + 5, _MOST_KEY)]


def _method(told: Any) -> Method | None:
    """A method by qpdf's name for it."""
    for method in _METHODS:
        if told.name == method:
            return method
    return None


def _rc4(key: bytes, data: bytes) -> bytes:
    encryptor = Cipher(ARC4(key), mode=None).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _aes(key: bytes, data: bytes) -> bytes:
    """The initialisation vector, and the data behind it, padded to whole blocks."""
    vector = hmac.digest(key, data, "sha256")[:_BLOCK]
    padder = PKCS7(8 * _BLOCK).padder()
    encryptor = Cipher(AES(key), CBC(vector)).encryptor()
    encrypted = encryptor.update(padder.update(data))
    encrypted += encryptor.update(padder.finalize())
    return vector + encrypted + encryptor.finalize()
