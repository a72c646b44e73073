"""The page Find atoms, without a browser: its panels tell what the state holds."""

import numpy as np
import pytest

from atomnb.widgets.find_atoms import FindAtoms
from atomnb.widgets.find_atoms_results import rounded


@pytest.fixture
def page(state, monkeypatch):
    monkeypatch.setattr("atomnb.widgets.find_atoms_results.debounced", lambda callback: lambda *_: callback())
    return FindAtoms(state)


@pytest.fixture
def named(page):
    page.state.open_sample("mos2")
    page.state.model = "tmd"
    page.state.find()
    assert page.error.report == {}, page.error.report
    return page


def test_named_atoms_have_their_names_everywhere(named):
    assert named.canvas.group_names == ["metal", "chalcogen pair", "single chalcogen"]
    assert len(named.canvas.vacancies) == 12 * len(named.state.vacancies)
    assert "vacanc" in named.results.summary.value
    labels = [column["label"] for column in named.results.table.page["columns"]]
    assert "Name" in labels and "Grp" not in labels


def test_empty_sites_can_be_saved(named, page):
    assert named.results.exports.rows["vacancies"].layout.display is None
    lines = [line for line in named.results._content("vacancies").decode().splitlines() if line[0] != "#"]
    assert len(lines) == 1 + len(named.state.empty_sites())
    assert "vacancy" in lines[1]
    assert named.state.empty_sites().provenance == named.state.result().provenance


def test_without_empty_sites_there_is_nothing_to_save(page):
    page.state.open_path("lattice.npy")
    page.state.find()
    assert page.results.exports.rows["vacancies"].layout.display == "none"


def test_the_atoms_to_check_are_selected_by_a_button(named):
    button = named.results.check
    count = int(button.description.split()[2])
    button.click()
    assert len(named.state.selected) == count > 0
    assert named.results.table.page["total"] == count
    assert all(row[-1] == "⚑" for row in named.results.table.page["rows"])
    assert all(named.results.table.page["remarks"])
    named.results.clear.click()
    assert len(named.state.selected) == 0


def test_an_old_result_says_so_until_the_atoms_are_found_again(page):
    page.state.open_path("lattice.npy")
    page.state.find()
    assert "guess" not in page.scale.facts.value
    assert page.results.stale.layout.display == "none"
    page.state.set_pixel_size(0.2)
    assert page.results.stale.layout.display is None
    assert "0.2 Å/px" in page.scale.facts.value and "No pixel size" not in page.scale.facts.value
    page.state.find()
    assert page.results.stale.layout.display == "none"


@pytest.mark.parametrize(
    ("value", "text"), [(133.4, "133"), (4.26, "4.3"), (0.0312, "0.031"), (0.0, "0"), (np.nan, "–")]
)
def test_numbers_have_two_digits_and_no_powers(value, text):
    assert rounded(value) == text
