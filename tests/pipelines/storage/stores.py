"""How the tests reach their S3 servers, and what an error has to look like."""

import time

import pytest

from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from tests.s3_server import s3_variables

KEY = "a-key"
SECRET = "planted-secret-7f3a"


def point_at(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, secret: str = SECRET, key: str = KEY
) -> None:
    for name, value in s3_variables(endpoint, key, secret).items():
        monkeypatch.setenv(name, value)


def moto_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    import boto3

    point_at(endpoint, monkeypatch)
    bucket = f"box-{time.monotonic_ns()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return open_place(f"s3://{bucket}/in")


def assert_one_sentence(error: BaseException) -> str:
    """Check that the error tells a user what to do and no secret; its text."""
    text = str(error)
    assert (
        text.endswith(".") and "\n" not in text and SECRET not in text and "Traceback" not in text
    )
    return text
