"""The page Defects, without a browser: its panels tell what the state holds."""

import io

import numpy as np
import pandas as pd
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.library import DefectLibrary
from atomnb.widgets.defects import Defects
from atomnb.widgets.defects_export import EXPORTS, defects_file
from atomnb.widgets.defects_pictures import _averaged
from atomnb.widgets.defects_state import ACCEPTED, REJECTED
from atomnb.widgets.defects_types import ROWS, TYPES_SHOWN
from atomnb.widgets.jobs import Jobs

OUTLINE_FIELDS = {"id", "points", "label", "note", "colour", "rejected"}


@pytest.fixture
def page(defects_state, sheet, monkeypatch):
    for module in ("defects", "defects_results", "defects_rules"):
        monkeypatch.setattr(f"atomnb.widgets.{module}.debounced", lambda callback: lambda *_: callback())
    averages = []
    monkeypatch.setattr("atomnb.widgets.defects_pictures._averaged", lambda wanted, _: averages.append(wanted) or {})
    page = Defects(defects_state, averaging=Jobs(threaded=False))
    page.averages = averages
    page.state.open_path("lattice.npy")
    page.state.find()
    assert page.error.report == {}, page.error.report
    return page


def test_the_image_shows_atoms_bonds_rings_and_named_outlines(page):
    graph, canvas = page.state.graph, page.canvas
    assert canvas.group_names == ["C", "Si"]
    bonds = np.frombuffer(canvas.bonds, np.float32).reshape(-1, 5)
    assert len(bonds) == len(graph.neighbors.pairs)
    length = np.hypot(bonds[:, 2] - bonds[:, 0], bonds[:, 3] - bonds[:, 1])
    assert np.median(length) == pytest.approx(1.42 / 0.2, rel=0.02)
    assert {ring["size"] for ring in canvas.rings} == {3, 5, 7} and 6 not in {r["size"] for r in canvas.rings}
    assert len({ring["colour"] for ring in canvas.rings}) == 3
    assert sorted(line["label"] for line in canvas.outlines) == sorted(page.state.listed["name"])
    assert all(set(line) == OUTLINE_FIELDS and len(line["points"]) % 8 == 0 for line in canvas.outlines)
    page.state.open_path("inner/stack.npy")
    assert canvas.outlines == [] and canvas.rings == [] and canvas.bonds == b"" and canvas.outline == -1


def test_types_have_pictures_and_lead_to_their_members(page):
    types = page.results.types
    items = types.gallery.page["items"]
    assert {item["name"]: item["count"] for item in items} == {
        "three-fold Si": 2, "Si trimer": 2, "Stone–Wales 55-77": 1,
    }  # fmt: skip
    assert all(len(item["pixels"]) == item["height"] * item["width"] for item in items)
    assert types.table.page["total"] == 5 and types.naming.layout.display == "none"
    types.gallery._on_message(None, {"kind": "choose", "name": "Si trimer"}, None)
    assert types.gallery.chosen == "Si trimer" and types.table.page["total"] == 2
    assert len(page.canvas.marked) == 2
    types.name.value = "my trimer"
    types.rename.click()
    assert types.gallery.chosen == "my trimer" and "Si trimer" in types.heading.value
    assert "my trimer" in {line["label"] for line in page.canvas.outlines}
    types.forget.click()
    assert types.gallery.chosen == "Si trimer" and "systematic" not in types.heading.value


def test_types_of_several_members_are_averaged(page, monkeypatch):
    (wanted,) = page.averages
    assert sorted(records[0].formula for records in wanted.values()) == ["Si1C3", "Si3C6"]
    monkeypatch.undo()
    (trimers,) = (key for key, records in wanted.items() if records[0].formula == "Si3C6")
    picture = _averaged({trimers: wanted[trimers]}, lambda *_: None)[trimers]
    assert picture.shape[0] == picture.shape[1] > 30 and np.isfinite(picture).all()


def test_a_click_on_an_outline_shows_the_defect(page):
    index = int(page.state.listed.index[page.state.listed["name"] == "three-fold Si"][0])
    page.canvas.outline = index
    detail = page.results.detail
    assert page.results.view.value == "Defect" and page.results.types.table.current == index
    assert "three-fold Si" in detail.head.value and "Si1C3" in detail.head.value
    assert detail.geometry.value.count("C–Si</th>") == 3 and detail.geometry.value.count("C–Si–C") == 3
    assert "±" in detail.geometry.value and "1 more defect has this topology" in detail.like.value
    page.canvas.outline = -1
    assert "Click a defect" in detail.head.value


def test_a_verdict_shows_in_image_table_and_counts(page):
    index = int(page.state.listed.index[0])
    page.state.choose_defect(index)
    detail = page.results.detail
    detail.reject.value = True
    assert page.state.status == {index: REJECTED}
    assert [line["id"] for line in page.canvas.outlines if line["rejected"]] == [index]
    assert "rejected" in page.results.summary.value
    detail.accept.value = True
    assert page.state.status == {index: ACCEPTED} and not detail.reject.value
    detail.accept.value = False
    assert page.state.status == {}


def test_an_uncertain_defect_leaves_image_and_lists(page):
    page.state.confidence = 0.8
    few = len(page.state.listed)
    assert len(page.canvas.outlines) == page.results.types.table.page["total"] == few < 5
    page.state.confidence = 1.0
    assert "lower the confidence" in page.results.types.heading.value
    assert page.results.types.gallery.page["items"] == []


def test_rules_are_edited_with_their_mistakes_named(page):
    rules = page.results.rules
    page.results.view.value = "Rules"
    rules.text.value = rules.text.value.replace("C-C: [", "C-C: [3, 1] # [")
    assert rules.save.disabled and "C-C" in rules.verdict.value
    rules.reset.click()
    assert not rules.save.disabled and "can be used" in rules.verdict.value
    rules.text.value = rules.text.value.replace("C-Si: [", "C-Si: [1.0, 2.4] # [")
    assert rules.name.value == "my-graphene"
    rules.save.click()
    assert page.error.report == {}, page.error.report
    assert page.run.rules.value == "my-graphene" and page.results.stale.layout.display is None
    rules.name.value = "no/slash"
    rules.save.click()
    assert "letters, digits" in page.error.report["message"]


@pytest.mark.parametrize("kind", [name for name, _, _ in EXPORTS])
def test_every_file_can_be_saved(page, kind, tmp_path, monkeypatch):
    state = page.state
    saved = []
    monkeypatch.setattr(page.title, "save", lambda name, content, mime: saved.append((name, content)))
    state.choose_defect(int(state.listed.index[state.listed["name"] == "Si trimer"][0]))
    rejected = int(state.listed.index[-1])
    state.decide(rejected, REJECTED)
    page.results.view.value = "Export"
    page.results.export.list.buttons[kind].click()
    assert page.error.report == {}, page.error.report
    ((name, content),) = saved
    assert (name.endswith(f".{kind}") and content == defects_file(state, kind)) or kind in ("png", "h5", "ipynb")
    if kind == "csv":
        table = pd.read_csv(io.BytesIO(content))
        assert len(table) == 5 and table.loc[table["defect"] == rejected, "status"].tolist() == [REJECTED]
    elif kind == "h5":
        (tmp_path / "library.h5").write_bytes(content)
        assert len(DefectLibrary(tmp_path / "library.h5")) == 4
    elif kind == "png":
        assert content.startswith(b"\x89PNG")
    elif kind == "ipynb":
        assert b"rules='graphene'" in content and b"defects.head()" in content
    else:
        assert content.decode().count("Si") >= 3


def test_a_structure_needs_a_chosen_defect(page):
    page.results.view.value = "Export"
    assert page.results.export.list.buttons["xyz"].disabled and page.results.export.list.buttons["cif"].disabled
    assert not page.results.export.list.buttons["csv"].disabled
    with pytest.raises(AtomnbError, match="no defect is chosen"):
        defects_file(page.state, "xyz")


def test_a_name_of_many_rings_is_shown_short_and_chosen_whole(page):
    found = page.state.found
    whole = "unseen: Va1-5-5-5-5-5-5-7-7-7-7-7-7#5d59"
    page.state._outlines = {}
    page.state.found = found._replace(defects=found.defects.assign(name=whole, kind="boundary"))
    types = page.results.types
    (item,) = types.gallery.page["items"]
    assert (item["name"], item["label"]) == (whole, "boundary #5d59")
    assert {row[0] for row in types.table.page["rows"]} == {"boundary #5d59"}
    types.gallery._on_message(None, {"kind": "choose", "name": whole}, None)
    assert page.state.chosen == whole


def test_long_lists_come_in_pages(page, monkeypatch):
    found = page.state.found
    many = pd.concat([found.defects.assign(name=f"type {k}") for k in range(40)], ignore_index=True)
    page.state._outlines = {}
    page.state.found = found._replace(defects=many)
    types = page.results.types
    assert len(types.gallery.page["items"]) == TYPES_SHOWN and types.gallery.page["total"] == 40
    assert len(types.table.page["rows"]) == ROWS and types.table.page["total"] == 200
    types.gallery._on_message(None, {"kind": "page", "first": 35}, None)
    assert len(types.gallery.page["items"]) == TYPES_SHOWN and types.gallery.page["first"] == 35
    types.table._on_message(None, {"kind": "page", "first": 10**6}, None)
    assert types.table.page["first"] == 192
    types.table._on_message(None, {"kind": "sort", "column": "y"}, None)
    assert types.table.page["first"] == 0 and types.table.page["sort"] == "y"
