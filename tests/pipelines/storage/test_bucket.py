"""Buckets that refuse, stumble or are not there: one sentence each, or nothing to be seen."""

import itertools
import json
import os
import socket
import time
from pathlib import Path

import pytest

from demoire.errors import ConfigError, StorageError, UsageError
from pipelines.storage.open import check_places, open_place, try_to_write
from pipelines.storage.place import Place
from tests.pipelines.storage.stores import KEY, SECRET, assert_one_sentence, moto_bucket, point_at
from tests.s3_server import Fault, serve_faults, serve_s3


@pytest.mark.parametrize(("key", "secret"), [(KEY, "wrong-secret"), ("wrong-key", SECRET)])
def test_wrong_credentials(
    buckets: str, monkeypatch: pytest.MonkeyPatch, key: str, secret: str
) -> None:
    point_at(buckets, monkeypatch, secret, key)
    place = open_place("s3://box/x")
    for action in (
        lambda: list(place.list()),
        lambda: place.read("a"),
        lambda: place.write("a", b""),
    ):
        with pytest.raises(StorageError) as caught:
            action()
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in assert_one_sentence(caught.value)
        assert secret not in str(caught.value) and caught.value.exit_code == 2
    with pytest.raises(StorageError, match="s3://box/x"):
        check_places("s3://box/x", "s3://box/y")


def test_no_credentials_at_all(
    buckets: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at(buckets, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        StorageError, match="set AWS_ACCESS_KEY_ID .* --storage-option anon=true"
    ) as caught:
        open_place("s3://box/x").read("a")
    assert_one_sentence(caught.value)


def test_a_missing_bucket_and_a_missing_object(s3_bucket: Place) -> None:
    with pytest.raises(StorageError, match="no such bucket"):
        list(open_place("s3://no-such-box/x").list())
    with pytest.raises(StorageError, match="no such bucket"):
        open_place("s3://no-such-box/x").write("a", b"")
    with pytest.raises(StorageError, match="s3://box/.*/nothing.*does not exist"):
        s3_bucket.read("nothing")
    with pytest.raises(StorageError, match="does not exist"):
        s3_bucket.open("nothing")


def test_a_store_that_cannot_be_reached_is_told_soon_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(
        StorageError, match="http://127.0.0.1:9 cannot be reached, check AWS_ENDPOINT_URL"
    ):
        open_place("s3://box").read("a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(ConfigError, match="endpoint at 127.0.0.1:9 carries credentials") as caught:
        open_place("s3://box").read("a")
    assert_one_sentence(caught.value)


def test_storage_options_come_from_the_environment(
    buckets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    options = f'{{"endpoint_url": "{buckets}", "key": "{KEY}", "secret": "{SECRET}"}}'
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", options)
    place = open_place(f"s3://box/{time.monotonic_ns()}")
    place.write("x", b"by options")
    assert place.read("x") == b"by options"
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", f"secret={SECRET}")
    with pytest.raises(ConfigError) as caught:
        place.read("x")
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("fault", ["slow_down", "reset", "short_body", "other_range"])
def test_a_store_that_stumbles_is_asked_again(
    s3_bucket: Place, buckets: str, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    data = os.urandom(100_000)
    s3_bucket.write("x", data)
    with serve_faults(buckets, itertools.cycle([fault, None])) as endpoint:
        point_at(endpoint, monkeypatch)
        for offset in (0, 10, 50_000):
            assert s3_bucket.read("x", offset, 40_000) == data[offset : offset + 40_000]
        s3_bucket.write("y", data[:1000])
        assert [entry.path for entry in s3_bucket.list()] == ["x", "y"]
        assert s3_bucket.read("y") == data[:1000]


IMPATIENT = {"config_kwargs": {"read_timeout": 0.3, "retries": {"total_max_attempts": 1}}}


@pytest.mark.parametrize("fault", ["slow_down", "reset", "short_body", "slow_body", "other_range"])
def test_a_store_that_keeps_failing_ends_with_status_3(
    s3_bucket: Place, buckets: str, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """A scheduler should run the command again: throttled, broken off, cut short, timed out."""
    s3_bucket.write("x", os.urandom(100_000))
    monkeypatch.setattr("pipelines.storage.s3_client.LONGEST_PAUSE", 0.01)
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps(IMPATIENT))
    with serve_faults(buckets, itertools.repeat(fault)) as endpoint:
        point_at(endpoint, monkeypatch)
        with pytest.raises(StorageError, match="later") as caught:
            s3_bucket.read("x", 0, 40_000)
    assert_one_sentence(caught.value)
    assert caught.value.exit_code == 3
    assert not isinstance(caught.value, UsageError)


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_store_that_takes_a_request_and_never_answers_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Before a large body the client waits for the store's `100 Continue`, which never comes."""
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps(IMPATIENT))
    monkeypatch.setattr("pipelines.storage.s3_session._SLOWEST_UPLOAD", 1e9)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        point_at(f"http://127.0.0.1:{mute.getsockname()[1]}", monkeypatch)
        with pytest.raises(StorageError, match="s3://box/x.*ReadTimeoutError.*later") as caught:
            open_place("s3://box").write("x", bytes(size))
    assert_one_sentence(caught.value)
    assert caught.value.exit_code == 3


def test_a_store_that_never_sends_100_continue_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only server, which answers (with an error) only once it has a small body."""
    (tmp_path / "box").mkdir()
    monkeypatch.setattr("pipelines.storage.s3_client.LONGEST_PAUSE", 0.01)
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps(IMPATIENT))
    with serve_s3(tmp_path, KEY, SECRET, "--read-only") as endpoint:
        point_at(endpoint, monkeypatch)
        with pytest.raises(StorageError, match="s3://box/.*InternalError.*later"):
            try_to_write(open_place("s3://box"))


def test_patience_with_a_store_ends_and_is_told_meanwhile(
    s3_bucket: Place,
    buckets: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pipelines.storage.s3_client._UNNOTICED", 0.0)
    monkeypatch.setattr("pipelines.storage.s3_client.LONGEST_PATIENCE", 0.0)
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps(IMPATIENT))
    s3_bucket.write("x", b"x")
    with serve_faults(buckets, itertools.repeat("slow_down")) as endpoint:
        point_at(endpoint, monkeypatch)
        with pytest.raises(StorageError, match=r"SlowDown.*later"):
            s3_bucket.read("x")
    told = [record.message for record in caplog.records if "s3_client" in record.name]
    assert len(told) == 1, "asked once more, and then no more"
    assert "cannot read s3://box/" in told[0] and "SlowDown" in told[0]


@pytest.mark.parametrize(
    ("src", "dst", "secret", "says"),
    [
        ("s3://no-such-box/x", "s3://box/out", SECRET, "no such bucket"),
        ("s3://box/nothing", "s3://box/out", SECRET, "does not exist"),
        ("s3://box/in", "s3://no-such-box/out", SECRET, "no such bucket"),
        ("s3://box/in", "s3://box/out", "wrong-secret", "access denied"),
    ],
)
def test_what_the_user_can_put_right_ends_with_status_2(
    buckets: str, monkeypatch: pytest.MonkeyPatch, src: str, dst: str, secret: str, says: str
) -> None:
    point_at(buckets, monkeypatch)
    open_place("s3://box/in").write("a.jpg", b"x")
    point_at(buckets, monkeypatch, secret)
    with pytest.raises(UsageError, match=says) as caught:
        check_places(src, dst)
    assert_one_sentence(caught.value)
    assert caught.value.exit_code == 2


def test_a_creation_whose_answer_was_lost_is_still_ours(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moto_bucket(moto, monkeypatch)
    # the HEAD, then the PUT, which is done and not told
    with serve_faults(moto, [None, "reset"]) as endpoint:
        point_at(endpoint, monkeypatch)
        assert place.create("u.json", b"ours") is True
        assert place.create("u.json", b"theirs") is False
    assert place.read("u.json") == b"ours"


def test_a_creation_that_meets_another_write_is_tried_again(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moto_bucket(moto, monkeypatch)
    with serve_faults(moto, [None, "conflict"]) as endpoint:
        point_at(endpoint, monkeypatch)
        assert place.create("u.json", b"ours") is True
    monkeypatch.setattr("pipelines.storage.s3_client.LONGEST_PAUSE", 0.01)
    faults: list[Fault | None] = [None, *itertools.repeat("conflict", 99)]
    with serve_faults(moto, faults) as endpoint:
        point_at(endpoint, monkeypatch)
        with pytest.raises(StorageError, match="ConditionalRequestConflict") as caught:
            place.create("another.json", b"ours")
    assert_one_sentence(caught.value)


def test_a_creation_whose_name_is_taken_and_free_by_turns_ends(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moto_bucket(moto, monkeypatch)
    by_turns: list[Fault | None] = ["taken", "missing"]  # what the PUT meets, and the HEAD after it
    with serve_faults(moto, [None, *by_turns, *by_turns]) as endpoint:
        point_at(endpoint, monkeypatch)
        assert place.create("u.json", b"ours") is True
    with serve_faults(moto, [None, *by_turns * 99]) as endpoint:
        point_at(endpoint, monkeypatch)
        with pytest.raises(StorageError, match="by turns") as caught:
            place.create("another.json", b"ours")
    assert_one_sentence(caught.value)
    assert caught.value.exit_code == 3
