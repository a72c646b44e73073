"""The home page: one static document made from the list of pages, so that it needs no kernel."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from atomnb import __version__
from atomnb.widgets.catalogue import PAGES, Page

ASSETS = Path(__file__).parent / "assets"


def home_html(*, data_folder: str) -> str:
    """The home page as HTML.

    Parameters
    ----------
    data_folder : str
        Where files are looked for; shown at the foot.
    """
    first, *others = PAGES
    return Template((ASSETS / "home.html").read_text(encoding="utf-8")).substitute(
        version=escape(__version__),
        data_folder=escape(data_folder),
        first_url=first.url,
        first_title=escape(first.title),
        first_sentence=escape(first.sentence),
        first_picture=first.picture,
        first_minutes=escape(first.minutes),
        dashboards="\n".join(_card(page) for page in PAGES if page.kind == "dashboard"),
        notebooks="\n".join(_card(page) for page in others if page.kind == "notebook"),
    )


def _card(page: Page) -> str:
    download = f'<a class="an-quiet" href="{page.url}.ipynb" download>Download</a>' if page.kind == "notebook" else ""
    verb = "Open" if page.kind == "dashboard" else "Run and read"
    return f"""
<article class="an-card" data-page="{page.name}">
  <a class="an-picture" href="{page.url}" tabindex="-1" aria-hidden="true">
    <img src="/assets/{page.picture}" alt="" loading="lazy">
  </a>
  <div class="an-card-text">
    <h3><a href="{page.url}">{escape(page.title)}</a></h3>
    <p>{escape(page.sentence)}</p>
    <p class="an-card-foot"><a class="an-link" href="{page.url}">{verb} →</a>{download}
      <span class="an-minutes">{escape(page.minutes)}</span></p>
  </div>
</article>"""
