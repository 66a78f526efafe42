"""Avro's binary encoding, read by a function compiled once per pair of schemas (Avro 1.12, "Binary Encoding").

As `dataclasses` makes an `__init__`, this makes the text of a function in which a field takes a few lines, and compiles
it: an ordinary event is read in 3 microseconds, for which fastavro takes 8. Nothing of a schema gets into that text but
the names of the reader's fields, as literals. Whatever the bytes claim, reading ends: at the last byte, or where Python
ends a recursion. Where the two schemas differ by more than fields that one of them lacks, fastavro has to resolve.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import partial
from itertools import count
from struct import Struct
from typing import Any

from tidemill.contracts.defaults import python_default
from tidemill.contracts.resolution import same_name, written_field
from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    optional_of,
)
from tidemill.contracts.supported_types import takes_no_bytes
from tidemill.errors import ContractError

Read = Callable[[bytes, int], tuple[Any, int]]
"""Takes bytes and where a value begins in them; gives the value, and where it ends: perhaps beyond the last byte."""

INDENT = "    "
_NUMBERS = count(1)


class NeedsResolution(Exception):
    """The two schemas differ by more than fields that one of them lacks."""


def compile_reader(reader: AvroType | None, writer: AvroType) -> Read:
    """A function that reads a value, which raises nearly anything where the bytes don't fit the writer's schema.

    Args:
        reader: What to read it as, as `read_schema` gives it; None to walk over it, for its faults and its end alone.
        writer: What it was written as.

    Raises:
        NeedsResolution: Reading it takes a resolution of schemas that isn't made here.
        ContractError: The writer's schema has a list whose length nothing bounds.
    """
    source = _Source()
    name = source.function(reader, writer)
    text = "\n".join(source.lines)
    origin = f"<Avro reader {next(_NUMBERS)} of tidemill>"
    # Tracebacks and debuggers find the lines there.
    linecache.cache[origin] = len(text), None, text.splitlines(keepends=True), origin
    exec(compile(text, origin, "exec"), source.namespace)
    read: Read = source.namespace[name]
    return read


class _Source:
    """Gathers the functions of one reader, and the objects that they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {
            "varint": _varint,
            "length": _length,
            "count": _count,
            "no_branch": _no_branch,
            "cut_short": _cut_short,
            "unpack_float": Struct("<f").unpack_from,
            "unpack_double": Struct("<d").unpack_from,
        }
        self._functions: dict[tuple[int, int], str] = {}
        self._variables = 0

    def function(self, reader: AvroType | None, writer: AvroType) -> str:
        """Name of the function that reads a type; made where there is none yet."""
        pair = (id(reader), id(writer))
        name = self._functions.get(pair)
        if name is None:
            # Known before its body is made, since a record may contain itself.
            name = self._functions[pair] = f"read_{len(self._functions)}"
            body = self._record(reader, writer) if isinstance(writer, Record) else self._value("v", reader, writer)
            result = "record" if isinstance(writer, Record) else "v"
            self.lines += [f"def {name}(data, at):", *_indented(body), f"{INDENT}return {result}, at"]
        return name

    def share(self, value: object) -> str:
        """A name for an object that the functions use."""
        name = f"shared_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def variable(self) -> str:
        """A name for a variable that is used nowhere else."""
        self._variables += 1
        return f"v{self._variables}"

    def _record(self, reader: AvroType | None, writer: Record) -> list[str]:
        if reader is None:
            walk = [line for each in writer.fields for line in self._value("record", None, each.type)]
            return [*walk, "record = None"]
        if not isinstance(reader, Record) or not same_name(reader, writer):
            raise NeedsResolution
        written = {each.name: each for each in writer.fields}
        sources = {field.name: written_field(field, written) for field in reader.fields}
        # One written field may be read twice, where an alias names it; that is left to fastavro.
        read_as = {source.name: field for field in reader.fields if (source := sources[field.name]) is not None}
        if len(read_as) != sum(source is not None for source in sources.values()):
            raise NeedsResolution
        variables = {each.name: self.variable() for each in writer.fields}
        lines: list[str] = []
        for each in writer.fields:
            field = read_as.get(each.name)
            lines += self._value(variables[each.name], None if field is None else field.type, each.type)
        pairs = []
        for field in reader.fields:
            source = sources[field.name]
            pairs.append(f"{field.name!r}: {self._default(field) if source is None else variables[source.name]}")
        return [*lines, f"record = {{{', '.join(pairs)}}}"]

    def _default(self, field: Field) -> str:
        if field.default is MISSING:
            raise NeedsResolution
        value = python_default(field.type, field.default)
        if isinstance(value, (list, dict)):
            # Whoever gets it may change it: made anew for each event.
            return f"{self.share(partial(python_default, field.type, field.default))}()"
        return self.share(value)

    def _value(self, target: str, reader: AvroType | None, writer: AvroType, *, in_loop: bool = False) -> list[str]:
        """Lines that read a value into a variable; they use the variables `n` and `end`, too."""
        if isinstance(writer, Union):
            return self._union(target, reader, writer, in_loop)
        if isinstance(reader, Union):
            inner = optional_of(reader)
            if inner is None:
                raise NeedsResolution
            return self._value(target, inner, writer, in_loop=in_loop)
        # Python has a limit for loops within loops.
        if isinstance(writer, Record) or (in_loop and isinstance(writer, (Array, Map))):
            return [f"{target}, at = {self.function(reader, writer)}(data, at)"]
        match writer:
            case Array() if reader is None or isinstance(reader, Array):
                return self._array(target, reader, writer)
            case Map() if reader is None or isinstance(reader, Map):
                return self._map(target, reader, writer)
            case Enum() if reader is None or isinstance(reader, Enum):
                return self._enum(target, reader, writer)
            case Fixed() if reader is None or isinstance(reader, Fixed):
                if reader is not None and (not same_name(reader, writer) or reader.size != writer.size):
                    raise NeedsResolution
                cut = f"if len({target}) != {writer.size}: raise cut_short()"
                lines = [f"end = at + {writer.size}", f"{target} = data[at:end]", cut, "at = end"]
                return lines + self._logical(target, reader, writer)
            case Primitive() if reader is None or isinstance(reader, Primitive):
                if reader is not None and reader.kind != writer.kind and (writer.kind, reader.kind) != ("int", "long"):
                    raise NeedsResolution
                walked = reader is None and writer.kind in ("bytes", "string")
                lines = [*_LENGTH, "at += n >> 1"] if walked else _PRIMITIVES[writer.kind]
                return [line.format(target) for line in lines] + self._logical(target, reader, writer)
        raise NeedsResolution

    def _union(self, target: str, reader: AvroType | None, writer: Union, in_loop: bool) -> list[str]:
        inner = reader
        if reader is not None:
            inner = optional_of(reader)
            if inner is None or optional_of(writer) is None:
                raise NeedsResolution
        lines = _NUMBER if len(writer.branches) > 64 else _BYTE
        for number, branch in enumerate(writer.branches):
            lines = [*lines, f"{'elif' if number else 'if'} n == {number << 1}:"]
            if branch == Primitive("null"):
                lines += _indented([f"{target} = None"])
            else:
                lines += _indented(self._value(target, inner, branch, in_loop=in_loop))
        return [*lines, "else: raise no_branch(n)"]

    def _array(self, target: str, reader: Array | None, writer: Array) -> list[str]:
        if takes_no_bytes(writer.items):
            raise ContractError("A list holds values that take no bytes, so that nothing bounds its length.")
        item = self.variable()
        loop = self._value(item, None if reader is None else reader.items, writer.items, in_loop=True)
        keep = [] if reader is None else [f"{target}.append({item})"]
        return [f"{target} = []", *_blocks([*loop, *keep])]

    def _map(self, target: str, reader: Map | None, writer: Map) -> list[str]:
        key, item = self.variable(), self.variable()
        loop = [line.format(key) for line in _PRIMITIVES["string"]]
        loop += self._value(item, None if reader is None else reader.values, writer.values, in_loop=True)
        keep = [] if reader is None else [f"{target}[{key}] = {item}"]
        return [f"{target} = {{}}", *_blocks([*loop, *keep])]

    def _enum(self, target: str, reader: Enum | None, writer: Enum) -> list[str]:
        if reader is not None and (not same_name(reader, writer) or not {*writer.symbols} <= {*reader.symbols}):
            raise NeedsResolution
        symbols = self.share({number << 1: symbol for number, symbol in enumerate(writer.symbols)})
        return [*(_NUMBER if len(writer.symbols) > 64 else _BYTE), f"{target} = {symbols}[n]"]

    def _logical(self, target: str, reader: Primitive | Fixed | None, writer: Primitive | Fixed) -> list[str]:
        if reader is None:
            return []
        if (reader.logical, reader.precision, reader.scale) != (writer.logical, writer.precision, writer.scale):
            raise NeedsResolution
        if writer.logical is None:
            return []
        from fastavro.read import LOGICAL_READERS

        kind = writer.kind if isinstance(writer, Primitive) else "fixed"
        convert = LOGICAL_READERS.get(f"{kind}-{writer.logical}")
        if convert is None:
            raise NeedsResolution
        schema = self.share({"precision": writer.precision, "scale": writer.scale})
        return [f"{target} = {self.share(convert)}({target}, {schema})"]


_BYTE = ["n = data[at]", "at += 1"]
_NUMBER = [*_BYTE, "if n > 127: n, at = varint(n, data, at)"]
# An odd number is a negative one (zigzag).
_LENGTH = [*_BYTE, "if n & 129: n, at = length(n, data, at)"]
_BYTES = [*_LENGTH, "end = at + (n >> 1)"]
_PRIMITIVES: dict[str, list[str]] = {
    "null": ["{} = None"],
    "boolean": ["{} = data[at] != 0", "at += 1"],
    "int": [*_NUMBER, "{} = n >> 1 ^ -(n & 1)"],
    "long": [*_NUMBER, "{} = n >> 1 ^ -(n & 1)"],
    "float": ["({},) = unpack_float(data, at)", "at += 4"],
    "double": ["({},) = unpack_double(data, at)", "at += 8"],
    # These may reach beyond the last byte: then the next look at a byte fails, or the caller sees it by the end.
    "bytes": [*_BYTES, "{} = data[at:end]", "at = end"],
    "string": [*_BYTES, "{} = data[at:end].decode()", "at = end"],
}


def _indented(lines: list[str]) -> list[str]:
    return [INDENT + line for line in lines]


def _blocks(item: list[str]) -> list[str]:
    """Lines that read the blocks of a list or map."""
    head = ["if n & 129: n, at = count(n, data, at)", "for _ in range(n >> 1):"]
    return [*_BYTE, "while n:", *_indented([*head, *_indented(item), *_BYTE])]


def _varint(first: int, data: bytes, at: int) -> tuple[int, int]:
    number, shift = first & 127, 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number takes more than 10 bytes")
    if number >> 64:
        raise ValueError("a number takes more than 64 bits")
    return number, at


def _length(first: int, data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(first, data, at) if first > 127 else (first, at)
    if number & 1:
        raise ValueError(f"a text or bytes claim a length of {number >> 1 ^ -1}")
    return number, at


def _count(first: int, data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(first, data, at) if first > 127 else (first, at)
    if number & 1:
        # A negative count stands before a block whose size in bytes follows, which only matters to who skips it.
        number = (number >> 1) + 1 << 1
        size = data[at]
        at += 1
        if size > 127:
            _, at = _varint(size, data, at)
    if number == 0:
        raise ValueError("a list or map ends with a 0 of more than one byte")
    return number, at


def _no_branch(number: int) -> ValueError:
    return ValueError(f"a union has no branch {number >> 1 ^ -(number & 1)}")


def _cut_short() -> EOFError:
    return EOFError("it ends within a field")
