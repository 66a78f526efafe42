"""Any schema, any values and any garbage, through Kafka and the registry: rows, or put aside with place and reason."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from tests.integration.replay_topics import RawTopic
from tests.unit.avro_strategies import damaged, encoded, fuzzed, read_by_fastavro, schemas, values
from tests.unit.test_replay_decoding import differences, row_form
from tidemill.config import Settings
from tidemill.replay import Scan


def test_what_is_published_is_read_on_both_paths_and_all_of_it_is_counted(settings: Settings) -> None:
    @fuzzed(4)
    @given(st.data(), st.booleans())
    def check(data: DataObject, is_plain: bool) -> None:
        schema = data.draw(schemas(fast_only=is_plain))
        topic = RawTopic(settings, schema=schema)
        good = [encoded(schema, each, topic.schema_id) for each in data.draw(st.lists(values(schema), min_size=2))]
        bad = [data.draw(damaged(good[0])) for _ in range(6)]
        published = data.draw(st.permutations([*good, *bad]))
        topic.send(published)
        for fast in (True, False):
            scan = topic.scan(fast=fast)
            table = scan.to_arrow()
            _counted(scan, published)
            names = [field["name"] for field in schema["fields"]]
            for row in table.to_pylist():
                value = published[row["_offset"]] or b""
                expected = row_form(schema, read_by_fastavro(value, schema))
                assert not [*differences({name: row[name] for name in names}, expected)]
            whole = {*table.column("_offset").to_pylist()}
            assert all(offset in whole for offset, each in enumerate(published) if each in good)

    check()


def _counted(scan: Scan, published: list[Any]) -> None:
    tally = scan.tally
    assert tally.read == len(published) == tally.events + tally.garbage + tally.tombstones
    assert tally.tombstones == published.count(None)
    assert len(scan.quarantined) == tally.garbage
    for each in scan.quarantined:
        assert each.value == published[each.offset]
        assert each.reason
        assert f"offset {each.offset}: {each.reason}" in str(each.error())
    offsets = [each.offset for each in scan.quarantined]
    assert offsets == sorted(offsets)
