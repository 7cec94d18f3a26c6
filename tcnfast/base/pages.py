"""What the HTML pages share: templates that escape what they are given, one style, the glyphs."""

from __future__ import annotations

import json
from pathlib import Path

from markupsafe import Markup

from .logo import glyph_definitions
from .page_table import breakable
from .run_record import version

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values) -> str:
    """A page as text: a file of ``TEMPLATES`` filled with ``values``. It fetches nothing when it is
    opened. Raises jinja2's UndefinedError where the template uses a value that is not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = breakable
    environment.globals["source"] = lambda name: Markup((TEMPLATES / name).read_text())
    return environment.get_template(template).render(
        glyphs=glyph_definitions(),
        version=version(),
        **values,
    )


def script_json(value: object) -> Markup:
    """A value for a script element of a page: JSON that nothing in it can end the element of."""
    text = json.dumps(value, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
