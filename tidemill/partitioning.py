"""Which partition a key belongs to, as every Kafka client with Java's default partitioner decides it.

MurmurHash2 as in org.apache.kafka.common.utils.Utils.murmur2, which librdkafka's `murmur2_random` follows. No I/O.
"""

from __future__ import annotations

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash of a key, unsigned."""
    length = len(data)
    state = (_SEED ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        state = (state * _M & _MASK) ^ word
    if whole < length:
        state = (state ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    state = (state ^ state >> 13) * _M & _MASK
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key in a topic of so many partitions (Java's `toPositive(murmur2(key)) % partitions`)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
