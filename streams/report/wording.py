"""Numbers, money and dates as a reader of one language writes them.

Relies on Babel and its tables (Unicode CLDR). Computes only; the same value gives the same text on every machine.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers

from streams.report.columns import NUMBERS, Cell, Shown
from tidemill.errors import Reject

STYLES = ("short", "medium", "long", "full")
LONGEST_ON_A_PAGE = 600
"""Characters of one cell; a page isn't where anybody reads a longer one."""


class Wording:
    """How values are written in one language.

    Args:
        locale: Such as `de` or `pt-BR`; of an unknown region its language is taken.
        zone: In which moments are shown.

    Raises:
        Reject: The language isn't known.
    """

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        self.locale = _locale(locale)
        self.zone = zone

    @property
    def tag(self) -> str:
        """The locale as HTML has it (BCP 47)."""
        return str(self.locale).replace("_", "-")

    def number(self, value: Any, digits: int | None = None) -> str:
        """A number with the language's separators: 1,234.5."""
        found = _finite(value, "number")
        if digits is None:
            return numbers.format_decimal(found, locale=self.locale, decimal_quantization=False)
        return str(self._pattern(digits).apply(_rounded(found, digits), self.locale, decimal_quantization=False))

    def money(self, value: Any, currency: str = "EUR", digits: int = 2) -> str:
        """An amount with its currency: €1,234.50."""
        shown = numbers.parse_pattern(self.locale.currency_formats["standard"].pattern)
        shown.frac_prec = (digits, digits)
        rounded = _rounded(_finite(value, "money"), digits)
        return str(shown.apply(rounded, self.locale, currency=currency, currency_digits=False))

    def percent(self, value: Any, digits: int = 0) -> str:
        """A share as per cent: 0.25 becomes 25%."""
        shown = numbers.parse_pattern(self.locale.percent_formats[None].pattern)
        shown.frac_prec = (digits, digits)
        rounded = _rounded(_finite(value, "percent"), digits + 2)
        return str(shown.apply(rounded, self.locale, decimal_quantization=False))

    def compact(self, value: Any) -> str:
        """A round number in few characters, for axes: 1.2M."""
        found = _finite(value, "compact")
        if abs(found) < 10_000:
            return self.number(found)
        scaled = abs(found) / 10 ** ((found.adjusted() // 3) * 3)
        digits = 0 if scaled == scaled.to_integral_value() else 1
        said = numbers.format_compact_decimal(found, locale=self.locale, fraction_digits=digits)
        # German has no short form of thousands, and then no separators either.
        return self.number(found) if said.strip("-").isdecimal() else said

    def day(self, value: Any, style: str = "long") -> str:
        """A date: November 24, 2026; in one of the styles, or by a pattern of CLDR such as `MMM y`."""
        return dates.format_date(_moment(value, "day"), style, self.locale)

    def moment(self, value: Any, style: str = "medium") -> str:
        """A date with its time: Nov 24, 2026, 8:30 AM; in the report's time zone."""
        found = _moment(value, "moment")
        if not isinstance(found, datetime):
            return self.day(found, style)
        local = found.astimezone(self.zone)
        if style not in STYLES:
            raise Reject(f"A moment has the styles {', '.join(STYLES)}, found {style!r:.80}.")
        pattern = str(dates.get_datetime_format(style, locale=self.locale))  # type: ignore[arg-type]
        clock = dates.format_time(local, "short", locale=self.locale, tzinfo=self.zone)
        return pattern.replace("{0}", clock).replace("{1}", dates.format_date(local, style, self.locale))

    def cell(self, value: Cell, column: Shown) -> str:
        """A value as a table on a page has it."""
        declared = column.declared
        match value:
            case None:
                return "–"
            case bool():
                return self._truth[value]
            case str():
                return value if len(value) <= LONGEST_ON_A_PAGE else value[: LONGEST_ON_A_PAGE - 1] + "…"
            case datetime():
                is_day = declared.type is None and value.time() == time()
                return self.day(value, "medium") if is_day else self.moment(value, "short")
            case date():
                return self.day(value, "medium")
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return str(value)
        match declared.type:
            case "percent":
                return self.percent(value, 1 if declared.digits is None else declared.digits)
            case "money":
                # Its currency stands in the head, once.
                return self.number(value, 2 if declared.digits is None else declared.digits)
        return self.number(value, declared.digits)

    def head(self, column: Shown) -> str:
        """A column's title on a page; that of money names the currency."""
        if column.declared.type != "money":
            return column.title
        return f"{column.title} ({numbers.get_currency_symbol(column.declared.currency, locale=self.locale)})"

    def axis(self, value: float, column: Shown) -> str:
        """A value in few characters, for an axis."""
        if column.declared.type == "percent":
            return self.percent(value, 0 if abs(value * 100 - round(value * 100)) < 1e-9 else 1)
        return self.compact(Decimal(repr(value)))

    def is_number(self, column: Shown, value: Cell) -> bool:
        """Whether a column is set flush right."""
        if column.declared.type is not None:
            return column.declared.type in NUMBERS
        return isinstance(value, int | float | Decimal) and not isinstance(value, bool)

    @cached_property
    def _truth(self) -> dict[bool, str]:
        return {True: "✓", False: "–"}

    def _pattern(self, digits: int) -> Any:
        found = self._patterns.get(digits)
        if found is None:
            found = numbers.parse_pattern(self.locale.decimal_formats[None].pattern)
            found.frac_prec = (digits, digits)
            self._patterns[digits] = found
        return found

    @cached_property
    def _patterns(self) -> dict[int, Any]:
        return {}


def _locale(name: str) -> Locale:
    parts = name.replace("-", "_").split("_")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (UnknownLocaleError, ValueError):
            parts.pop()
    raise Reject(
        f"locale {name[:80]!r} isn't known.", hint="Write a language of two or three letters, e.g. de or pt-BR."
    )


def _finite(value: Any, what: str) -> Decimal:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        found = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if found.is_finite():
            return found
    raise Reject(f"{what!r} needs a number, found {value!r:.80}.")


def _rounded(value: Decimal, digits: int) -> Decimal:
    # As people round, and not half to even: a column of prices is added up by hand.
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _moment(value: Any, what: str) -> date:
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            pass
    raise Reject(f"{what!r} needs a date such as 2026-11-24T08:30:00Z, found {value!r:.80}.")
