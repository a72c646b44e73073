"""The pages in a real browser: from a file to its atoms, and every way to fail politely."""

import csv
import io
import time

import numpy as np
import pytest

from .steps import DRAWN, READY, export, open_app, view

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RESULT = ".an-numbers"


def find_atoms(page) -> int:
    """Press the button; the number of atoms shown."""
    page.wait_for_selector(DRAWN)
    page.click(".an-go:enabled")
    page.wait_for_selector(RESULT)
    page.wait_for_function("Number(document.querySelector('.an-viewer').dataset.shown) > 0")
    return shown(page)


def shown(page) -> int:
    return int(page.get_attribute(".an-viewer", "data-shown"))


def test_the_home_page_leads_to_the_pages(page, served):
    page.goto(served.url)
    for name in ("find_atoms", "defects", "simulate", "train", "01_find_atoms"):
        assert page.locator(f"[data-page='{name}']").is_visible()
    assert page.inner_text("#data-folder") == str(served.data)
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.click("#start-here")
    page.wait_for_selector(READY)


@pytest.mark.parametrize("file", ["mos2.dm3", "graphene.hdf5", "silicon.png"])
def test_a_real_file_is_analysed_and_exported(page, served, file):
    if not (served.data / file).exists():
        pytest.skip("no real microscope files here: set ATOMNB_DATA to their folder")
    open_app(page, served, "find_atoms", f"?file={file}")
    count = find_atoms(page)
    assert count > 300
    rows = list(csv.DictReader(line for line in io.StringIO(export(page, "csv").decode()) if line[0] != "#"))
    assert len(rows) == count
    assert {"y", "x", "y_err", "x_err", "score", "flags"} <= set(rows[0])
    uncalibrated = file == "silicon.png"
    assert page.locator("button:has-text('(.xyz)')").is_disabled() == uncalibrated
    assert ("unknown" in page.inner_text(".an-facts")) == uncalibrated


def test_a_notebook_runs_and_shows_its_code(page, served):
    page.goto(f"{served.url}/notebooks/01_find_atoms", wait_until="commit")
    page.wait_for_selector("#rendered_cells img")
    assert "atomnb.analyze(image)" in page.inner_text("#rendered_cells")
    assert page.locator("#rendered_cells img").count() >= 6
    page.click("text=← atomnb")
    page.wait_for_selector("#start-here")


def test_views_are_linked(page, served):
    open_app(page, served, "find_atoms")
    page.click(".an-item:has-text('Silicon')")
    everything = find_atoms(page)

    box = page.locator(".an-canvas").bounding_box()
    assert box["width"] > 560, "the image must get the room the panels leave"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function("document.querySelector('.an-where').textContent.includes('value')")

    page.click("[data-tool=box]")
    drag(page, (box["x"] + 150, box["y"] + 200), (box["x"] + 350, box["y"] + 400))
    page.wait_for_selector(f"{RESULT} >> text=selected")
    view(page, "Table")
    page.wait_for_function("n => !document.querySelector('.an-pager').textContent.includes(` of ${n}`)", arg=everything)
    page.click(".an-table tbody tr >> nth=2")
    page.wait_for_selector(".an-table tr[aria-selected=true]")
    page.wait_for_function("document.querySelector('.an-what').textContent.startsWith('atom')")

    view(page, "Plot")
    page.click("button:has-text('Clear selection')")
    page.wait_for_selector(f"{RESULT} >> text=selected", state="detached")
    plot = page.locator(".an-results [class*='bk-']").first.bounding_box()
    drag(page, (plot["x"] + 90, plot["y"] + 60), (plot["x"] + 200, plot["y"] + 90))
    page.wait_for_selector(f"{RESULT} >> text=selected")

    slider = page.locator(".an-threshold .noUi-handle")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    page.wait_for_function("n => Number(document.querySelector('.an-viewer').dataset.shown) < n", arg=everything)
    view(page, "Code")
    page.wait_for_function("document.querySelector('.an-code pre').textContent.includes('score >= 0.7')")
    assert "atomnb.sample_image('si-110')" in page.inner_text(".an-code pre")

    for layer in ("show_probability", "show_errors"):
        page.click(f"[data-layer={layer}]")
    page.wait_for_selector(".an-legend >> text=drawn")
    assert export(page, "png")[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"nbformat" in export(page, "ipynb")


def drag(page, start, end) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_a_broken_file_shows_what_to_do(page, served):
    open_app(page, served, "find_atoms")
    page.click("button:has-text('Folder')")
    page.click(".an-item:has-text('broken.dm3')")
    page.wait_for_selector(".an-error >> text=broken.dm3")
    assert page.locator(".an-error pre").is_hidden()
    page.click(".an-error >> text='Details'")
    assert "Traceback" in page.inner_text(".an-error pre")
    page.click(".an-error >> text='Close'")
    assert page.locator(".an-error").is_hidden()
    assert page.locator(".an-go").is_disabled()


def test_files_that_come_late_are_listed(page, served):
    """When the page is opened, though its kernel was started before; and when the button is pressed."""
    open_app(page, served, "find_atoms")  # now the kernel of the next page is being started
    late, later = served.data / "late.npy", served.data / "later.npy"
    try:
        time.sleep(8)
        np.save(late, np.zeros((8, 8), np.float32))
        open_app(page, served, "find_atoms")
        page.click("button:has-text('Folder')")
        page.wait_for_selector(".an-item:has-text('late.npy')")
        np.save(later, np.zeros((8, 8), np.float32))
        page.click(".an-again:visible")
        page.wait_for_selector(".an-item:has-text('later.npy')")
    finally:
        late.unlink(missing_ok=True)
        later.unlink(missing_ok=True)


def test_nothing_outside_the_data_folder_opens(page, served):
    open_app(page, served, "find_atoms", "?file=../../etc/passwd")
    page.wait_for_selector(".an-error >> text=not in the data folder")


def test_a_long_analysis_can_be_cancelled(page, served):
    open_app(page, served, "find_atoms", "?file=large.npy")
    page.wait_for_selector(DRAWN)
    page.click(".an-go:enabled")
    page.click(".an-cancel")
    page.wait_for_selector(".an-cancel", state="hidden")
    page.wait_for_selector(".an-go:enabled")
    assert page.locator(RESULT).count() == 0
    assert page.locator(".an-error").is_hidden()


def test_a_hundred_megabytes_upload(page, served, tmp_path):
    blank = tmp_path / "blank.npy"
    np.save(blank, np.zeros((5200, 5200), np.float32))
    assert blank.stat().st_size > 100e6
    open_app(page, served, "find_atoms")
    page.click("button:has-text('Upload')")
    assert "up to" in page.inner_text(".an-upload small")
    page.set_input_files(".an-upload input", blank)
    # A constant image is refused only after it has been read whole.
    page.wait_for_selector(".an-error >> text=constant")


def test_a_closed_page_ends_its_kernel(page, served):
    open_app(page, served, "find_atoms")
    before = {p.pid for p in served.kernels()}
    page.goto(served.url)
    deadline = time.monotonic() + 60
    while before <= {p.pid for p in served.kernels()}:
        assert time.monotonic() < deadline, "the kernel of a closed page is still there"
        time.sleep(0.3)
