"""The checks behind `tidemill doctor`: each looks at one thing and gives a tick, or a cross with the next step.

A check never raises what the library raises: an error is its finding. It changes nothing in Kafka and the registry; in
the object store it replaces one small object of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from tidemill.cli.finding import Finding
from tidemill.cli.group_check import check_groups
from tidemill.errors import ConfigError, IncompatibleSchema, LocalError, ObjectMissing, StoreError, TidemillError

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.store import Store

MOST_SKEW_SECONDS = 10.0
"""More than network delay and a header of whole seconds can explain; schedules and delays would be felt to be off."""
GROUP = "tidemill.checks"
"""Entry points of what other packages check: functions that take the settings and return a `Finding`."""
PROBE = "tidemill-doctor.txt"


Check = Callable[["Settings"], Finding]


def check_all(settings: Settings, skip: Collection[str] = ()) -> Iterator[Finding]:
    """Every check, in an order in which each rests on those before it.

    Args:
        settings: What they are about.
        skip: Names of checks to leave out.

    Raises:
        ConfigError: A check to leave out doesn't exist.
    """
    others = {point.name: point for point in entry_points(group=GROUP)}
    of_broker: dict[str, Check] = {"topics": check_topics, "streams": check_groups}
    of_broker |= {name: _loaded(point) for name, point in sorted(others.items())}
    of_registry: dict[str, Check] = {"schemas": check_schemas, "clock": check_clock}
    order = [
        "local stack",
        "broker",
        "registry",
        "topics",
        "schemas",
        "streams",
        *sorted(others),
        "clock",
        "object store",
    ]
    if unknown := [name for name in skip if name not in order]:
        raise ConfigError(f"There is no check {unknown[0]!r}.", hint=f"They are: {', '.join(order)}.")
    first: dict[str, Check] = {"local stack": check_local_stack, "broker": check_broker, "registry": check_registry}
    answers: dict[str, bool] = {}
    for name in order:
        if name in skip:
            continue
        if name in of_broker and not answers.get("broker", True):
            yield _skipped(name, "no broker answers")
        elif name in of_registry and not answers.get("registry", True):
            yield _skipped(name, "no registry answers")
        else:
            check = first.get(name) or of_broker.get(name) or of_registry.get(name) or check_store
            finding = _guarded(name, check, settings)
            answers[name] = finding.ok is True
            yield finding


def _loaded(point: EntryPoint) -> Check:
    """Another package's check, imported when it is its turn."""
    return lambda settings: point.load()(settings)


def _guarded(name: str, check: Check, settings: Settings) -> Finding:
    try:
        return check(settings)
    except TidemillError as error:
        return Finding(name, False, error.message.rstrip("."), error.hint)


def _skipped(name: str, why: str) -> Finding:
    return Finding(name, None, f"not checked: {why}")


def check_local_stack(settings: Settings) -> Finding:
    """Whether the stack of `tidemill up` runs, and whether it is the one that these settings mean."""
    name = "local stack"
    try:
        from tidemill.local import Stack
    except LocalError as error:
        return Finding(name, None, error.message.rstrip("."))
    stack = Stack.find(settings)
    if stack is None:
        return Finding(name, None, "not up")
    if stack.dead:
        died = ", ".join(program.title for program in stack.dead)
        return Finding(name, False, f"died: {died}", f"Look at the logs in {stack.log_dir}; `tidemill up` starts anew.")
    paused = [program.title for program in stack.programs if program.is_paused]
    if paused:
        return Finding(name, False, f"paused: {', '.join(paused)}", "`tidemill down`, then `tidemill up`.")
    brokers = len(stack.brokers)
    used = "" if stack.bootstrap_servers == settings.bootstrap_servers else "; other addresses are set, it isn't used"
    what = f"Kafka {stack.description.kafka_version} is up, {_count(brokers, 'broker')}"
    return Finding(name, True, what + used)


def check_broker(settings: Settings) -> Finding:
    """Whether the cluster answers, and has a controller."""
    from tidemill.broker import cluster_metadata

    began = time.perf_counter()
    metadata = cluster_metadata(settings)
    took_ms = (time.perf_counter() - began) * 1000
    found = f"{settings.bootstrap_servers} answers: {_count(len(metadata.brokers), 'broker')}, {took_ms:.0f} ms"
    if metadata.controller_id < 0:
        return Finding("broker", False, f"{found}, no controller", "Look at the brokers' logs; they elect one.")
    return Finding("broker", True, found)


def check_registry(settings: Settings) -> Finding:
    """Whether the schema registry answers."""
    from tidemill.contracts.registry import Registry

    registry = Registry(settings)
    try:
        subjects = registry.subjects()
        return Finding("registry", True, f"{registry.url} answers: {_count(len(subjects), 'subject')}")
    finally:
        registry.close()


def check_topics(settings: Settings) -> Finding:
    """Whether every contract's topics are there and as it says."""
    from tidemill.topics import difference, house_topics, known_contracts

    changes = difference(settings)
    missing = [change.topic for change in changes if change.action == "create"]
    differing = sorted({change.topic for change in changes if change.is_step} - set(missing))
    faults = []
    if missing:
        faults.append(f"missing: {_listed(missing)}")
    if differing:
        faults.append(f"not as they should be: {_listed(differing)}")
    if faults:
        return Finding(
            "topics", False, "; ".join(faults), "`tidemill topics diff` shows it, `tidemill topics apply` does it."
        )
    left = sorted({change.topic for change in changes})
    note = f" ({_listed(left)}: see `tidemill topics diff`)" if left else ""
    count = 2 * len(known_contracts(settings)) + len(house_topics())
    return Finding("topics", True, f"all {count} are as they should be{note}")


def check_schemas(settings: Settings) -> Finding:
    """Whether every contract's schema is registered, with its compatibility level."""
    from tidemill.contracts.registration import register_contracts
    from tidemill.contracts.registry import Registry
    from tidemill.topics import known_contracts

    contracts = known_contracts(settings)
    registry = Registry(settings)
    try:
        planned = register_contracts(registry, contracts, dry_run=True)
    except IncompatibleSchema as error:
        return Finding("schemas", False, error.message.replace("Nothing was registered", "Incompatible"), error.hint)
    finally:
        registry.close()
    missing = [each.contract.type for each in planned if each.action == "registered"]
    differing = [each.contract.type for each in planned if each.action == "level set"]
    faults = []
    if missing:
        faults.append(f"not registered: {_listed(missing)}")
    if differing:
        faults.append(f"another compatibility level: {_listed(differing)}")
    if faults:
        return Finding("schemas", False, "; ".join(faults), "`tidemill schemas register` registers them.")
    return Finding("schemas", True, f"all {len(contracts)} are registered")


def check_clock(settings: Settings) -> Finding:
    """How far this machine's clock is from the registry's, by the Date header of its answer (RFC 9110, 6.6.1).

    Kafka tells nobody its time without writing an event; the registry usually runs beside it.
    """
    from tidemill.cli.clock import skew_seconds

    skew = skew_seconds(settings)
    if skew is None:
        return Finding("clock", None, "not checked: the registry sends no Date header")
    if abs(skew) <= MOST_SKEW_SECONDS:
        return Finding("clock", True, "agrees with the registry's, to the second or so")
    way = "ahead of" if skew > 0 else "behind"
    return Finding(
        "clock", False, f"{abs(skew):,.0f} s {way} the registry's", "Turn on NTP on both: `timedatectl set-ntp true`."
    )


def check_store(settings: Settings) -> Finding:
    """Whether results can be written to the object store and read again."""
    from tidemill.store import Store

    store = Store.from_settings(settings)
    uri = f"{store.home.uri.rstrip('/')}/{PROBE}"
    try:
        data = _probe(store, uri)
    except StoreError as error:
        found = f"{store.home.uri} can't be used: {error.message.rstrip('.')}"
        return Finding("object store", False, found, error.hint or "Set TIDEMILL_STORE_URL to a place that can be.")
    if store.read(uri, max_bytes=1000) != data:
        return Finding("object store", False, f"{store.home.uri} gives back other bytes than were written")
    return Finding("object store", True, f"{store.home.uri} can be written and read")


def _probe(store: Store, uri: str) -> bytes:
    """Write the probe; what was written."""
    try:
        size_bytes = store.head(uri).size_bytes
    except ObjectMissing:
        size_bytes = 0
    # The store leaves an object of the same size alone, since names are made from content: another size is written.
    data = secrets.token_hex(64).encode()[: size_bytes % 64 + 1]
    store.write(PROBE, data, "text/plain")
    return data


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
