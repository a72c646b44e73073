"""What a visitor does on a page, whichever page it is: open it, choose a view, save a file."""

READY = ".an-app .an-left .an-segments button"
DRAWN = ".an-viewer[data-drawn=true]"


def open_app(page, served, app: str, query: str = "") -> None:
    page.goto(f"{served.url}/apps/{app}{query}", wait_until="commit")
    page.wait_for_selector(READY)


def view(page, name: str) -> None:
    page.click(f".an-results .an-segments button:has-text('{name}')")


def export(page, ending: str) -> bytes:
    view(page, "Export")
    with page.expect_download() as download:
        page.click(f".an-export button:has-text('(.{ending})')")
    return download.value.path().read_bytes()
