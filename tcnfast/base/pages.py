"""What the HTML pages share: templates that escape what they are given, one style, the glyphs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from .logo import glyph_definitions
from .run_record import version

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values) -> str:
    """A page as text: a file of ``TEMPLATES`` filled with ``values``. It fetches nothing when it is
    opened. Raises jinja2's UndefinedError where the template uses a value that is not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    # a phone may break a label before its cell line
    environment.filters["breakable"] = lambda text: escape(text).replace("@", Markup("<wbr>@"))
    return environment.get_template(template).render(
        glyphs=glyph_definitions(),
        style=Markup((TEMPLATES / "page.css").read_text()),
        version=version(),
        today=date.today().isoformat(),
        **values,
    )
