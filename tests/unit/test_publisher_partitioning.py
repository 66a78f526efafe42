"""A key goes to the partition that every other Kafka client would choose (Java's murmur2)."""

from __future__ import annotations

import pytest

from tidemill.broker import producer_config
from tidemill.config import load_settings
from tidemill.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # The vectors of Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_javas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@pytest.mark.parametrize("key", [b"", b"a", b"ab", b"abc", b"abcd", "ü☃".encode(), b"\x00\xff" * 5000])
def test_every_key_has_a_partition(key: bytes) -> None:
    assert {partition_of(key, partitions) < partitions for partitions in (1, 3, 12, 1000)} == {True}


def test_negative_hashes_are_made_positive_as_java_does() -> None:
    # toPositive() clears the sign bit; abs() would send the key elsewhere.
    assert partition_of(b"21", 12) == ((-973932308) & 0x7FFFFFFF) % 12


def test_producers_partition_and_acknowledge_as_promised() -> None:
    config = producer_config(load_settings())
    assert config["partitioner"] == "murmur2_random"
    assert config["acks"] == "all"
    assert config["enable.idempotence"] is True


def test_librdkafkas_own_settings_win() -> None:
    config = producer_config(load_settings(kafka={"linger.ms": "77", "socket.keepalive.enable": "true"}))
    assert (config["linger.ms"], config["socket.keepalive.enable"]) == ("77", "true")
