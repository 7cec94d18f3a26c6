"""igv.js, which lies in this package as it was published (igv/README.md), for pages to hold."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from .page_calls import encoded

IGV = Path(__file__).with_name("igv") / "igv.min.js.gz"


def igv_source() -> Markup:
    """base64 of its gzip, which ``browser.js`` unpacks."""
    return Markup(encoded(IGV.read_bytes()))


def igv_version() -> str:
    return IGV.with_name("VERSION").read_text().strip()
