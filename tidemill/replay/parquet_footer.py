"""Moves a Parquet footer: the row groups it describes lie so many bytes later in their file. Computes only.

pyarrow begins a file and ends it, and can't go on with one. What a second one appends to the first is valid Parquet but
for its offsets, which count from its own beginning; with these put right, a footer over both makes one file of the two.
The footer is Thrift's compact protocol (parquet.thrift, 2.11), read and written here whatever else is in it.
"""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS = (4, 5, 6)
_SIZES = {_TRUE: 1, _FALSE: 1, _BYTE: 1, _DOUBLE: 8}

Fields = dict[int, tuple[int, Any]]
"""A struct: type and value by the number of the field."""

_ROW_GROUPS = 4
_CHUNKS, _GROUP_OFFSET = 1, 5
_CHUNK_OFFSETS, _CHUNK_DATA = (2, 4, 6), 3
_DATA_OFFSETS = (9, 10, 11, 14)


def moved(footer: bytes, by: int) -> bytes:
    """A footer, without its length and magic, of row groups that lie so many bytes later."""
    fields, end = _struct(footer, 0)
    if end != len(footer):
        raise ValueError(f"a Parquet footer of {len(footer)} bytes ends at {end}")
    _, groups = fields[_ROW_GROUPS][1]
    for group in groups:
        _move(group, (_GROUP_OFFSET,), by)
        for chunk in group[_CHUNKS][1][1]:
            _move(chunk, _CHUNK_OFFSETS, by)
            _move(chunk[_CHUNK_DATA][1], _DATA_OFFSETS, by)
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


def _move(fields: Fields, numbers: tuple[int, ...], by: int) -> None:
    for number in numbers:
        # 0 stands for "nowhere": nothing lies before a file's magic.
        if number in fields and fields[number][1]:
            fields[number] = (fields[number][0], fields[number][1] + by)


def _struct(data: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, at = _number(data, at)
        value, at = (None, at) if kind in (_TRUE, _FALSE) else _value(kind, data, at)
        fields[number] = (kind, value)
    return fields, at + 1


def _value(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind in _NUMBERS:
        return _number(data, at)
    if kind == _STRUCT:
        return _struct(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind in (_LIST, _SET):
        return _list(data, at)
    if kind not in _SIZES:
        raise ValueError(f"a Parquet footer has a value of Thrift's type {kind}")
    return data[at : at + _SIZES[kind]], at + _SIZES[kind]


def _list(data: bytes, at: int) -> tuple[tuple[int, list[Any]], int]:
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = _varint(data, at)
    values = []
    for _ in range(size):
        value, at = _value(kind, data, at)
        values.append(value)
    return (kind, values), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def _number(data: bytes, at: int) -> tuple[int, int]:
    zigzag, at = _varint(data, at)
    return zigzag >> 1 ^ -(zigzag & 1), at


def _write_struct(out: bytearray, fields: Fields) -> None:
    before = 0
    for number, (kind, value) in fields.items():
        step = number - before
        before = number
        if 0 < step < 16:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _write_number(out, number)
        if kind not in (_TRUE, _FALSE):
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _NUMBERS:
        _write_number(out, value)
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind in (_LIST, _SET):
        inner, values = value
        out.append(min(len(values), 15) << 4 | inner)
        if len(values) >= 15:
            _write_varint(out, len(values))
        for each in values:
            _write_value(out, inner, each)
    else:
        if kind == _BINARY:
            _write_varint(out, len(value))
        out += value


def _write_number(out: bytearray, number: int) -> None:
    _write_varint(out, number << 1 ^ number >> 63)


def _write_varint(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
