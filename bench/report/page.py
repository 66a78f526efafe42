"""Puts generated parts into a page of prose, each between its two marks. Leaves everything else as it is."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.errors import ConfigError


def filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with its parts anew.

    Args:
        page: With `<!-- begin NAME -->` and `<!-- end NAME -->` on lines of their own around each part.
        parts: By name.

    Raises:
        ConfigError: The page lacks the marks of a part.
    """
    for name, content in parts.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, begun, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not (begun and ended):
            raise ConfigError(
                f"The page has no part {name!r}.", hint=f"Put `{begin.strip()}` and `{end}` around its place."
            )
        page = f"{before}{begin}{content}\n{end}{after}"
    return page
