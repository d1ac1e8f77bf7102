"""Copies that an S3 store makes by itself, so that no byte travels to this machine and back.

A copy keeps headers, user metadata and tags. It is made under the condition that the original is
the planned one; a store may pass over that condition, so where the copy's etag does not prove it,
the original is looked at again. A store that refuses (other owners, other regions, archived
objects) is no error: the caller reads and writes instead.

Costs two requests an object, and one more for each gigabyte of a large one.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from demoire.errors import StorageError, UnusablePlaceError
from pipelines.storage.s3_errors import MissingObjectError, NameTakenError
from pipelines.storage.s3_object import S3Object, etag_in, put_options

# S3 copies at most 5 GB in one request. Less is asked of it at a time, so that every request is
# answered well within the client's minute.
LARGEST_PART = 1 << 30  # bytes
_PARTS_AT_ONCE = 4


class CopyRefusedError(UnusablePlaceError):
    """The store does not copy this object by itself: it has to be read and written."""


class OriginChangedError(StorageError):
    """The original is no longer the object that was to be copied, or gone."""


def copy_object(origin: S3Object, target: S3Object, etag: str) -> None:
    """Have the store copy an object, with all that it keeps of it.

    Args:
        origin: The object.
        target: The copy.
        etag: That the original has to have.

    Raises:
        CopyRefusedError: The store does not do that.
        OriginChangedError: The original has another etag, or is gone.
        StorageError: The store failed.
    """
    changed = OriginChangedError(f"Cannot copy {origin.name}: it is another object by now.")
    try:
        head = origin.head()
        if etag_in(head) != etag:
            raise changed
        copied = _copied(origin, target, head)
        is_proved = copied == etag or etag_in(origin.head()) == etag
    except (MissingObjectError, NameTakenError):
        raise changed from None
    except UnusablePlaceError as error:
        raise CopyRefusedError(str(error)) from None
    if not is_proved:
        target.call("delete", "delete_object")
        raise changed


def _copied(origin: S3Object, target: S3Object, head: dict[str, Any]) -> str:
    """Copy the object of this HEAD; the etag of the copy, where that can be compared."""
    if not head.get("ETag"):
        raise CopyRefusedError(f"Cannot copy {origin.name}: it has no etag.")
    if head["ContentLength"] > LARGEST_PART:
        _copy_in_parts(origin, target, head)
        return ""
    source = {"CopySource": origin.address, "CopySourceIfMatch": head["ETag"]}
    try:
        answer = target.call("copy", "copy_object", **source)
    except MissingObjectError:
        raise
    except UnusablePlaceError:
        if not head.get("TagCount"):
            raise
        # Maybe it is only the tags that must not be copied.
        answer = target.call("copy", "copy_object", **source, TaggingDirective="REPLACE")
    return etag_in(answer.get("CopyObjectResult", {}))


def _copy_in_parts(origin: S3Object, target: S3Object, head: dict[str, Any]) -> None:
    """Copy by a multipart upload, which takes nothing but bytes from the original."""
    size = head["ContentLength"]
    options = put_options(origin.facts_in(head), target.key)
    upload = target.call("copy", "create_multipart_upload", **options)["UploadId"]

    def copy(start: int) -> dict[str, Any]:
        number = start // LARGEST_PART + 1
        end = min(start + LARGEST_PART, size) - 1
        answer = target.call(
            "copy",
            "upload_part_copy",
            UploadId=upload,
            PartNumber=number,
            CopySource=origin.address,
            CopySourceIfMatch=head["ETag"],
            CopySourceRange=f"bytes={start}-{end}",
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="copy") as pool:
            parts = list(pool.map(copy, range(0, size, LARGEST_PART)))
        whole = {"Parts": parts}
        target.call("copy", "complete_multipart_upload", UploadId=upload, MultipartUpload=whole)
    except StorageError:
        with suppress(StorageError):
            target.call("delete", "abort_multipart_upload", UploadId=upload)
        raise
