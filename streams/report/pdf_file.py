"""PDF through PlutoPrint, page by page, from a page that holds everything it shows.

PlutoPrint's wheel carries all that it needs, and lays a page out in a fraction of a millisecond. Whatever a page asks
to load is refused, whichever way it asks. The document's times are the report's: equal pages give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import plutoprint

from tidemill.errors import Reject

_PAGES_BETWEEN_REPORTS = 10


class _NothingIsLoaded(plutoprint.ResourceFetcher):
    """Notes what was asked for. An exception here would only be printed, and the page be made without it."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def fetch_url(self, url: str) -> plutoprint.ResourceData:
        self.refused.append(url)
        return plutoprint.ResourceData(b"", "text/plain")


def write_pdf(page: str, path: Path, *, title: str, made_at: datetime, progress: Callable[[int, int], None]) -> int:
    """Write a page as a PDF.

    Args:
        page: The HTML.
        path: Where it is written.
        title: Of the document.
        made_at: The moment that it carries, aware.
        progress: Called with pages done and pages in all.

    Returns:
        How many pages it has.

    Raises:
        Reject: The page asks to load something, or can't be laid out.
    """
    fetcher = _NothingIsLoaded()
    book = plutoprint.Book(plutoprint.PAGE_SIZE_A4, plutoprint.PAGE_MARGINS_NONE)
    book.custom_resource_fetcher = fetcher
    try:
        book.load_html(page)
        count = book.get_page_count()
        with plutoprint.PDFCanvas(str(path), book.get_page_size_at(0)) as canvas:
            moment = made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for key, value in (
                (plutoprint.PDF_METADATA_TITLE, title),
                (plutoprint.PDF_METADATA_CREATION_DATE, moment),
                (plutoprint.PDF_METADATA_MODIFICATION_DATE, moment),
            ):
                canvas.set_metadata(key, value)
            for number in range(count):
                canvas.set_size(book.get_page_size_at(number))
                canvas.save_state()
                canvas.scale(plutoprint.UNITS_PX, plutoprint.UNITS_PX)
                book.render_page(canvas, number)
                canvas.restore_state()
                canvas.show_page()
                if number % _PAGES_BETWEEN_REPORTS == 0:
                    progress(number, count)
        progress(count, count)
    except plutoprint.Error as error:
        raise Reject(f"The page can't be made into a PDF: {error}.") from error
    if fetcher.refused:
        shown = ", ".join(repr(url[:80]) for url in fetcher.refused[:5])
        raise Reject(
            f"The page asks to load {shown}; nothing is loaded.",
            hint="Put pictures into the report's folder and write image('file.png').",
        )
    return count
