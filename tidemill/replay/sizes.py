"""How many bytes Avro's shortest form of Arrow values takes: the proof that a decoder read neither more nor less.

A decoder that takes a prefix of each event and leaves the rest unread can't be seen from its values. But Avro writes
each value in one shortest form, and no event is shorter than that; so where the sizes of many events add up to the
bytes that were given, each of them has been read to its last byte.
"""

from __future__ import annotations

from typing import Any

from tidemill.contracts.schema import Array, AvroType, Enum, Map, Primitive, Record, optional_of
from tidemill.replay.extras import need


class Doubt(Exception):
    """The values can't be vouched for; whoever reads exactly has to look at them."""


class Measure:
    """Adds up the bytes of Arrow values in Avro's shortest form."""

    def __init__(self) -> None:
        self.total_bytes = 0
        self.widest = 0
        """Bytes of the largest number; 10 is where a decoder may have lost bits."""

    def add(self, array: Any, type_: AvroType) -> None:
        """Add all values of an array.

        Args:
            array: With the types of the fast decoder: every number of an int or long as int64.
            type_: Its Avro type, one that `fast.is_fast` takes.

        Raises:
            Doubt: A map has a key twice.
        """
        np = need("numpy", "decoding")
        inner = optional_of(type_)
        if inner is not None:
            self.total_bytes += len(array)
            self.add(array.drop_null(), inner)
            return
        match type_:
            case Record():
                # flatten() knows where a slice begins, which field() doesn't.
                for column, field in zip(array.flatten(), type_.fields, strict=True):
                    self.add(column, field.type)
            case Array():
                self._add_counts(array)
                self.add(array.flatten(), type_.items)
            case Map():
                self._add_counts(array)
                first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
                _check_keys(array.keys[first:last], np.diff(_numpy(array.offsets)))
                self._add_text(array.keys[first:last])
                self.add(array.items[first:last], type_.values)
            case Primitive(kind="string"):
                self._add_text(array)
            case Primitive(kind="int" | "long"):
                self._add_numbers(_numpy(array))
            case Enum():
                self.total_bytes += len(array)
            case Primitive(kind=kind):
                self.total_bytes += len(array) * {"boolean": 1, "float": 4, "double": 8}[kind]

    def _add_counts(self, array: Any) -> None:
        """What is around the items of lists or maps: a count where there are any, and a 0 at the end."""
        np = need("numpy", "decoding")
        counts = np.diff(_numpy(array.offsets))
        self.total_bytes += len(counts)
        self._add_numbers(counts[counts > 0])

    def _add_text(self, array: Any) -> None:
        lengths = _numpy(need("pyarrow.compute", "decoding").binary_length(array))
        self.total_bytes += int(lengths.sum())
        self._add_numbers(lengths)

    def _add_numbers(self, values: Any) -> None:
        """Whole numbers as Avro writes them: zigzag, seven bits a byte."""
        np = need("numpy", "decoding")
        if not len(values):
            return
        values = values.astype(np.int64, copy=False)
        zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
        least, most = _width(int(zigzag.min())), _width(int(zigzag.max()))
        self.widest = max(self.widest, most)
        self.total_bytes += least * len(values)
        for width in range(least, most):
            self.total_bytes += int(np.count_nonzero(zigzag >= np.uint64(1 << 7 * width)))


def _check_keys(keys: Any, counts: Any) -> None:
    """Raise Doubt where a map has a key twice: whoever reads exactly takes the last one, and DuckDB refuses both."""
    np = need("numpy", "decoding")
    if not len(keys) or counts.max() < 2:
        return
    codes = _numpy(keys.dictionary_encode().indices).astype(np.int64)
    maps = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    if len(np.unique(maps * (int(codes.max()) + 1) + codes)) != len(codes):
        raise Doubt("a map with a key twice")


def _numpy(array: Any) -> Any:
    return array.to_numpy(zero_copy_only=False)


def _width(zigzag: int) -> int:
    return max(1, -(-zigzag.bit_length() // 7))
