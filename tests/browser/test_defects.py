"""The page Defects in a real browser: from an image to named defects, to one of them, and to files."""

import csv
import io

import pytest

from .steps import DRAWN, export, open_app, view

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def find_defects(page) -> list[str]:
    """Press the button; the names of the types shown."""
    page.wait_for_selector(DRAWN)
    page.click(".an-go:enabled")
    page.wait_for_selector(".an-type")
    page.wait_for_function("Number(document.querySelector('.an-viewer').dataset.labels) > 0")
    return [node.get_attribute("data-type") for node in page.query_selector_all(".an-type")]


@pytest.mark.parametrize(
    ("file", "name", "ring"),
    [
        ("trimer.hdf5", "Si trimer", "5-ring"),
        ("unseen.hdf5", "Si2C5", "5-ring"),
        ("graphene.hdf5", "Va", "7-ring"),
        ("mos2.dm3", "V_X", "10-ring"),
    ],
)
def test_real_defects_are_named(page, served, file, name, ring):
    if not (served.data / file).exists():
        pytest.skip("no real microscope files here: set ATOMNB_DATA to their folder")
    open_app(page, served, "defects", f"?file={file}")
    found = find_defects(page)
    assert any(name in one for one in found), found
    page.wait_for_selector(f".an-legend >> text={ring}")
    page.click(".an-table tbody tr")
    page.wait_for_selector(".an-geometry >> text=±")
    assert page.locator(".an-error").is_hidden()


def test_from_a_sample_to_one_defect_and_to_files(page, served):
    open_app(page, served, "defects")
    page.click(".an-item:has-text('Graphene with silicon')")
    assert "three-fold Si" in find_defects(page)

    page.click(".an-type:has-text('three-fold Si')")
    page.wait_for_selector(".an-type[aria-selected=true] >> text=three-fold Si")
    page.wait_for_selector(".an-pager >> text=of 6")
    page.fill(".an-results .widget-text input", "lonely silicon")
    page.keyboard.press("Tab")
    page.click("button:has-text('Rename')")
    page.wait_for_selector(".an-type[aria-selected=true] >> text=lonely silicon")

    page.click(".an-table tbody tr")
    page.wait_for_selector(".an-name >> text=lonely silicon")
    page.wait_for_selector(".an-geometry th:has-text('C–Si–C')")
    assert page.locator(".an-geometry th:has-text('C–Si–C')").count() == 3
    page.wait_for_selector(".an-results [class*='bk-']")
    page.click("button:has-text('Reject')")
    page.wait_for_selector(".an-numbers >> text=rejected")

    assert export(page, "png")[:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.DictReader(io.StringIO(export(page, "csv").decode())))
    assert [row["status"] for row in rows].count("rejected") == 1
    assert {row["systematic_name"] for row in rows if row["name"] == "lonely silicon"} == {"three-fold Si"}
    assert b" Si " in export(page, "cif") and b"Lattice" in export(page, "xyz")
    assert export(page, "h5")[1:4] == b"HDF"
    view(page, "Code")
    page.wait_for_function("document.querySelector('.an-code pre').textContent.includes(\"rules='graphene'\")")


def test_an_outline_is_clicked_and_layers_come_and_go(page, served):
    open_app(page, served, "defects")
    page.click(".an-item:has-text('Graphene with silicon')")
    find_defects(page)
    for layer in ("bonds", "rings", "atoms"):
        page.click(f"[data-layer=show_{layer}]")
        page.wait_for_selector(f"[data-layer=show_{layer}][aria-pressed=false]")
    page.wait_for_selector(".an-legend", state="hidden")
    page.click("[data-layer=show_bonds]")
    page.click("[data-layer=show_certainty]")
    page.wait_for_selector(".an-legend >> text=bond, 0 to 1")
    box = page.locator(".an-canvas").bounding_box()
    scale = 0.985 * min(box["width"], box["height"]) / 400
    # the first silicon of the table lies here
    cells = page.locator(".an-table tbody tr:has-text('Si') >> nth=0 >> td").all_inner_texts()
    y, x = (float(text) / 0.125 for text in cells[1:3])
    page.mouse.click(
        box["x"] + box["width"] / 2 + (x - 199.5) * scale, box["y"] + box["height"] / 2 + (y - 199.5) * scale
    )
    page.wait_for_selector(".an-name >> text=Si")
    page.wait_for_function("document.querySelector('.an-what').textContent.includes('confidence')")


def test_rules_are_checked_while_they_are_typed(page, served):
    open_app(page, served, "defects")
    view(page, "Rules")
    editor = page.locator(".an-editor textarea")
    text = editor.input_value()
    editor.fill(text.replace("valence: 3", "valence: 0", 1))
    page.wait_for_selector(".an-warning >> text=valence")
    assert page.locator("button:has-text('Save as mine')").is_disabled()
    page.click("button:has-text('Reset')")
    page.wait_for_selector(".an-good")
    editor.fill(text + "\n# mine\n")
    page.click("button:has-text('Save as mine'):enabled")
    page.wait_for_selector("text=The rules in use: my-graphene")
    assert (served.data / "own" / "rules" / "my-graphene.yaml").read_text().endswith("# mine\n")


def test_a_broken_file_shows_what_to_do(page, served):
    open_app(page, served, "defects", "?file=broken.dm3")
    page.wait_for_selector(".an-error >> text=broken.dm3")
    assert page.locator(".an-go").is_disabled()
