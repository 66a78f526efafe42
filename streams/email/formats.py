"""Numbers, money and dates in the recipient's language, as filters of templates.

Relies on Babel and its tables (Unicode CLDR). Computes only; a filter must give the same text on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError, dates, numbers
from jinja2 import pass_context
from jinja2.runtime import Context

from tidemill.errors import Reject

DEFAULT_LOCALE = "en"


@lru_cache(maxsize=256)
def locale_of(name: str) -> Locale:
    """The locale of a name such as `de` or `pt-BR`; of its language where the region isn't known.

    Raises:
        Reject: Its language isn't known.
    """
    parts = name.replace("-", "_").split("_")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (UnknownLocaleError, ValueError):
            parts.pop()
    raise Reject(f"locale {name!r} isn't known.", hint="Write a language of two or three letters, e.g. de or pt-BR.")


def _here(context: Context) -> Locale:
    return locale_of(str(context.get("locale", DEFAULT_LOCALE)))


def _number(value: Any, what: str) -> Decimal:
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            pass
        else:
            if found.is_finite() and abs(found) < Decimal(10) ** 30:
                return found
    raise Reject(f"The template's filter {what!r} needs a number, found {value!r:.80}.")


def _moment(value: Any, what: str) -> datetime | date:
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            pass
    raise Reject(f"The template's filter {what!r} needs a date such as 2026-11-24T08:30:00Z, found {value!r:.80}.")


@pass_context
def number(context: Context, value: Any, digits: int | None = None) -> str:
    """A number with the language's separators, e.g. 1,234.5."""
    found = _number(value, "number")
    if digits is not None:
        found = round(found, min(max(digits, 0), 20))
        pattern = "#,##0" + ("." + "0" * min(digits, 20) if digits > 0 else "")
        return numbers.format_decimal(found, format=pattern, locale=_here(context))
    return numbers.format_decimal(found, locale=_here(context))


@pass_context
def money(context: Context, value: Any, currency: str = "EUR") -> str:
    """An amount with its currency, e.g. €1,234.50."""
    return numbers.format_currency(_number(value, "money"), currency, locale=_here(context))


@pass_context
def percent(context: Context, value: Any, digits: int = 0) -> str:
    """A share as per cent: 0.25 becomes 25%; with digits after the point where they say something."""
    share = round(_number(value, "percent"), min(max(digits, 0), 10) + 2)
    return numbers.format_percent(share, locale=_here(context), decimal_quantization=False)


@pass_context
def size(context: Context, value: Any) -> str:
    """So many bytes as people read them, in powers of 1000: 842 kB, 5.2 MB."""
    found = max(_number(value, "size"), Decimal(0))
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        # What would be rounded up to 1,000 is the first of the next unit.
        if round(found, 1) < 1000 or unit == "TB":
            break
        found /= 1000
    shown = round(found, 0 if found >= 100 or unit in ("B", "kB") else 1)
    return f"{numbers.format_decimal(shown, locale=_here(context))}\u00a0{unit}"


@pass_context
def day(context: Context, value: Any, style: str = "long") -> str:
    """A date, e.g. November 24, 2026; styles are short, medium, long and full."""
    return _day_text(_moment(value, "day"), _style(style), _here(context))


@pass_context
def moment(context: Context, value: Any, style: str = "medium") -> str:
    """A date with its time in UTC, e.g. Nov 24, 2026, 8:30 AM."""
    return _moment_text(_moment(value, "moment"), _style(style), _here(context))


# A mail shows the same moment in its text and its HTML, and many mails of a template the same one.
@lru_cache(maxsize=1024)
def _day_text(found: datetime | date, style: Any, locale: Locale) -> str:
    return dates.format_date(found, format=style, locale=locale)


@lru_cache(maxsize=1024)
def _moment_text(found: datetime | date, style: Any, locale: Locale) -> str:
    if not isinstance(found, datetime):
        return dates.format_date(found, style, locale)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    day_text = dates.format_date(found.astimezone(UTC), style, locale)
    # Seconds are noise in a mail, whatever the style of the date.
    # CLDR's narrow space before AM is a box in some mail programs, and hardly a gap in others.
    time_text = dates.format_time(found, "short", tzinfo=UTC, locale=locale).replace("\u202f", "\u00a0")
    return str(dates.get_datetime_format(style, locale=locale)).replace("{0}", time_text).replace("{1}", day_text)


def _style(style: str) -> Any:
    if style not in ("short", "medium", "long", "full"):
        raise Reject(f"A date has the styles short, medium, long and full, found {style!r}.")
    return style


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "money": money,
    "percent": percent,
    "size": size,
    "day": day,
    "moment": moment,
}
