"""Documents as records: text, Markdown and HTML files one row each, PDF files one row a page.

HTML is read by Resiliparse (its extraction of the main content, made for web archives: a C++ parser
with one light dependency), PDF by PDFium (the engine of Chromium, hardened against broken files;
licensed Apache-2.0 and BSD). Both are of the extra `documents`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from databuild.errors import StepError
from databuild.ingest.records import Record, bad_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.ingest.streams import Stream

FORMATS = ("text", "markdown", "html", "pdf")
MOST_BYTES = 1 << 28
_HEADING = re.compile(r"^(?:#{1,6}\s+(.+?)\s*#*|(.+)\n[=-]{3,})\s*$", re.MULTILINE)


def shapes_of(formats: set[str]) -> dict[str, str]:
    """The columns of documents: `text`, `title`, and `page` (from 1) where there are PDF files."""
    return {"text": "str", "title": "str", **({"page": "int"} if "pdf" in formats else {})}


def read_document(stream: Stream, form: str) -> Iterator[Record]:
    """Read one file: a record, or one for each page."""
    data = stream.take(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        yield bad_record(0, None, "too large: a document may have 256 MiB", data)
        return
    if form == "pdf":
        yield from _pages(data)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield bad_record(0, None, f"invalid UTF-8: byte {error.start} of the file", data)
        return
    title = None
    if form == "html":
        text, title = _html(text)
    elif form == "markdown":
        found = _HEADING.search(text)
        title = (found[1] or found[2]).strip() if found else None
    if text.strip():
        yield Record(0, 1, {"text": text, "title": title}, None, "")
    else:
        yield bad_record(0, 1, "no text: nothing is left of the document", data)


def _html(text: str) -> tuple[str, str | None]:
    try:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree
    except ImportError as error:
        raise _missing("HTML", "resiliparse") from error
    tree = HTMLTree.parse(text.replace("\0", ""))
    plain = extract_plain_text(tree, main_content=True, alt_texts=False) if tree.body else ""
    if not plain.strip() and tree.body:
        plain = extract_plain_text(tree, main_content=False, alt_texts=False)
    return plain, (tree.title or "").strip() or None


def _pages(data: bytes) -> Iterator[Record]:
    try:
        import pypdfium2 as pdfium
    except ImportError as error:
        raise _missing("PDF", "pypdfium2") from error
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        yield bad_record(0, None, f"broken PDF: {error}; no page was read", data[:20])
        return
    title = (document.get_metadata_dict(skip_empty=True).get("Title") or "").strip() or None
    try:
        for number in range(len(document)):
            yield _page(document, number, title, pdfium)
    finally:
        document.close()


def _page(document: Any, number: int, title: str | None, pdfium: Any) -> Record:
    try:
        text = document[number].get_textpage().get_text_bounded().replace("\r\n", "\n")
    except pdfium.PdfiumError as error:
        return bad_record(number, None, f"broken PDF page: {error}", b"")
    sound = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
    if not sound.strip():
        what = "no text: the page holds none that can be read, as a scan does"
        return bad_record(number, None, what, b"")
    return Record(number, None, {"text": sound, "title": title, "page": number + 1}, None, "")


def _missing(what: str, package: str) -> StepError:
    return StepError(
        "ingest.files", f"{what} files need the package {package!r}",
        fix="uv add 'databuild[documents]'",
    )  # fmt: skip
