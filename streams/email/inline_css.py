"""A mail's CSS moved into style attributes, because many mail programs ignore style sheets.

Relies on css-inline, which takes 0.1 ms for a page of 7 kB: a cache by markup was tried and took longer. Must never
fetch anything: a page could name a file of this machine, or an address inside its network.
"""

from __future__ import annotations

import css_inline

from tidemill.errors import Reject

_INLINER = css_inline.CSSInliner(
    inline_style_tags=True, keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False
)


def inline_css(html: str) -> str:
    """A whole page with the rules of its `<style>` elements in style attributes; media queries and the like stay.

    Args:
        html: The page; returned as it is where it has no `<style>`.

    Raises:
        Reject: Its CSS can't be used.
    """
    if "<style" not in html:
        return html
    try:
        return _INLINER.inline(html)
    except (css_inline.InlineError, ValueError) as error:
        raise Reject(f"The CSS of the mail can't be used: {error}.", hint="Run `tidemill email lint`.") from error
