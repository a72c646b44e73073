"""The state of Defects does what the page promises, without a browser."""

import numpy as np
import pytest

import atomnb
from atomnb.errors import AtomnbError
from atomnb.graph.names import load_names
from atomnb.graph.rules import load_rules, rules_text
from atomnb.widgets.defects_state import ACCEPTED, REJECTED

from .conftest import honeycomb_atoms

pytest.importorskip("ase")


@pytest.fixture
def state(defects_state):
    return defects_state


@pytest.fixture
def found(state, sheet):
    state.open_path("lattice.npy")
    state.find()
    assert state.report is None, state.report
    return state


def test_types_are_counted_and_looked_at_one_by_one(found):
    counts = dict(zip(found.types["name"], found.types["count"], strict=True))
    assert counts == {"three-fold Si": 2, "Si trimer": 2, "Stone–Wales 55-77": 1}
    assert len(found.members) == 5
    found.choose_type("Si trimer")
    assert len(found.members) == 2
    found.choose_type("Si trimer")
    assert found.chosen == "" and len(found.members) == 5


def test_the_confidence_filters_without_a_new_search(found):
    before = found.found
    found.confidence = 0.8
    assert 0 < len(found.listed) == (found.defects["confidence"] >= 0.8).sum() < 5 and found.found is before
    found.confidence = 0.25
    assert len(found.listed) == 5


def test_other_rules_draw_other_bonds_among_the_same_atoms(found, sheet):
    found.rules = "generic"
    assert found.stale
    found.find()
    assert not found.stale and len(sheet) == 1
    assert "Si trimer" not in set(found.defects["name"])
    found.set_pixel_size(0.25)
    found.find()
    assert len(sheet) == 2


def test_a_model_brings_its_rules(state):
    for model, rules in [("tmd", "tmd"), ("perovskite", "perovskite"), ("universal", "generic"), ("my own", "generic")]:
        state.model = model
        assert state.rules == rules
    state.model = "tmd"
    state.rules = "mos2"
    assert state.offered_rules()[0] == ("tmd · suits it", "tmd")
    assert {name for _, name in state.offered_rules()} == set(atomnb.list_rules())


def test_a_name_sticks_to_a_type_and_can_be_taken_back(found, sheet):
    found.choose_type("Si trimer")
    found.rename("my trimer")
    assert found.chosen == "my trimer" and len(found.members) == 2
    assert (found.members["systematic_name"] == "Si trimer").all()
    assert set(load_names().values()) == {"my trimer"}
    found.find()
    assert "my trimer" in set(found.types["name"])
    found.choose_type("my trimer")
    found.rename("")
    assert found.chosen == "Si trimer" and len(found.members) == 2 and load_names() == {}


def test_decisions_are_kept_as_a_column(found):
    first, second = (int(i) for i in found.listed.index[:2])
    found.decide(first, ACCEPTED)
    found.decide(second, REJECTED)
    assert found.result().loc[[first, second], "status"].tolist() == [ACCEPTED, REJECTED]
    assert found.types["count"].sum() == 4
    found.decide(second, REJECTED)
    assert found.result()["status"].tolist().count("") == 4 and found.types["count"].sum() == 5
    found.find()
    assert found.status == {}


def test_a_defect_has_its_bonds_angles_outline_and_its_like(found):
    index = int(found.members.index[found.members["name"] == "three-fold Si"][0])
    found.choose_defect(index)
    bonds, angles = found.geometry(index)
    assert bonds["bond"].tolist() == ["C–Si"] * 3 and angles["corner"].tolist() == ["C–Si–C"] * 3
    np.testing.assert_allclose(bonds["length_err"], 0.1 * found.found.analysis.pixel_size * 2**0.5)
    alike = found.alike(index)
    assert alike["name"].tolist() == ["three-fold Si"] and 0 < alike["distance"].iloc[0] < 80
    line = found.outline(index)
    assert np.allclose(line.mean(axis=0), found.defects.loc[index, ["y", "x"]].astype(float), atol=6)


def test_the_rules_are_checked_while_they_are_edited_and_kept_under_a_name(found):
    shipped = rules_text("graphene")
    assert found.draft == shipped and found.draft_problem == ""
    found.draft = shipped.replace("C-C: [", "C-C: [3.0, 1.0] # [")
    assert "bonds: C-C" in found.draft_problem
    with pytest.raises(AtomnbError, match="shortest bond"):
        found.save_draft("mine")
    found.draft = "host: [1, 2"
    assert "line" in found.draft_problem
    found.draft = shipped.replace("name: graphene", "name: mine")
    with pytest.raises(AtomnbError, match="come with atomnb"):
        found.save_draft("graphene")
    found.save_draft(" mine ")
    assert found.rules == "mine" and found.stale and ("mine", "mine") in found.offered_rules()
    found.find()
    assert not found.stale
    # the same name with another text is another rule set
    found.draft = found.draft + "\n# changed\n"
    found.save_draft("mine")
    assert found.stale
    found.rules = "graphene"
    assert found.draft == shipped


def test_a_movie_is_searched_whole_and_a_defect_brings_its_frame(state, sheet):
    state.open_path("inner/stack.npy")
    state.whole_stack = True
    state.find()
    assert state.report is None, state.report
    assert len(state.defects) == 15 and len(state.here) == 5 and len(state.graph) == len(state.atoms)
    last = int(state.defects.index[state.defects["frame"] == 2][0])
    state.choose_defect(last)
    assert state.frame == state.found.frame == 2 and state.current == last
    assert max(max(row) for row in state.here["core"]) < len(state.atoms)
    assert set(state.alike(last)["frame"]) == {0, 1} or (state.alike(last)["frame"].iloc[0] == 2)
    state.geometry(last)


def test_a_frame_alone_is_forgotten_when_another_is_shown(state, sheet):
    state.open_path("inner/stack.npy")
    state.show_frame(1)
    state.find()
    assert state.found.request.frame == 1 and len(state.here) == 5
    state.show_frame(0)
    assert state.found is None and state.types is None and state.code() == ""


def test_a_search_can_be_cancelled(state, monkeypatch):
    def analyze_request(image, request, progress, *, all_sides):
        state.jobs.cancel()
        progress(0.5, "finding atoms")

    state.open_path("lattice.npy")
    monkeypatch.setattr("atomnb.widgets.defects_state.analyze_request", analyze_request)
    state.find()
    assert state.found is None and state.report is None


def test_rules_that_do_not_know_the_atoms_are_told_with_a_remedy(state, sheet, monkeypatch):
    state.open_path("lattice.npy")
    monkeypatch.setattr("atomnb.graph.defects.defects_of_graphs", lambda *_, **__: load_rules("graphene").of("metal"))
    state.find()
    assert state.found is None and "metal" in state.report.message and "rule file" in state.report.message


def test_what_the_bonds_warn_of_is_shown_with_the_notes(found):
    assert not found.found.said
    found.rules = "hbn"
    found.find()
    assert any("choose rules that fit" in note for note in found.notes), (found.notes, found.report)


def test_nothing_found_yet_says_what_to_do(state):
    with pytest.raises(AtomnbError, match="no image is open"):
        state.find()
    with pytest.raises(AtomnbError, match="press Find defects"):
        state.result()


def test_the_shown_code_gives_the_same_defects(state, monkeypatch):
    monkeypatch.chdir(state.folder.root)
    state.open_sample("graphene-si")
    state.find()
    assert state.report is None, state.report
    state.choose_type("three-fold Si")
    state.rename("lonely silicon")
    state.decide(int(state.members.index[0]), REJECTED)
    state.confidence = 0.5
    names = {}
    exec(state.code(), names)
    expected = state.listed[state.listed["status"] != REJECTED]
    assert names["defects"].equals(expected.drop(columns=["systematic_name", "status"]))
    assert (names["defects"]["name"] == "lonely silicon").sum() >= 4
    assert (state.folder.root / "defects.csv").exists()


@pytest.mark.parametrize(
    ("bond", "brightness", "chosen"),
    [
        (1.42, (1, 1), ("graphene-si", "graphene")),
        (1.83, (2, 1), ("tmd", "tmd")),
        (3.0, (1, 1), ("universal", "generic")),
    ],
)
def test_model_and_rules_are_chosen_by_the_image(state, monkeypatch, bond, brightness, chosen):
    monkeypatch.setattr("atomnb.locate.recognize.look_at_middle", lambda image: honeycomb_atoms(bond, brightness))
    state.open_path("lattice.npy")
    state.set_pixel_size(bond / 10)
    assert (state.model, state.rules) == chosen
    assert ("are chosen" in state.suggestion) == ("universal" not in chosen)


def test_what_the_user_has_chosen_stays_until_another_crystal_is_opened(state, monkeypatch):
    seen = {"atoms": honeycomb_atoms(1.83, (2, 1))}
    monkeypatch.setattr("atomnb.locate.recognize.look_at_middle", lambda image: seen["atoms"])
    state.open_path("lattice.npy")
    assert (state.model, state.rules) == ("tmd", "tmd")
    state.rules = "mos2"
    state.open_path("inner/stack.npy")
    assert (state.model, state.rules) == ("tmd", "mos2")
    seen["atoms"] = None  # not recognised: it may well be the same again
    state.open_path("lattice.npy")
    assert (state.model, state.rules) == ("tmd", "mos2")
    seen["atoms"] = honeycomb_atoms(1.42)
    state.open_path("lattice.npy")
    assert (state.model, state.rules) == ("graphene-si", "graphene")
    state.model = "universal"
    state.open_path("inner/stack.npy")
    assert "graphene-si and rules graphene would suit it" in state.suggestion


def test_an_image_that_cannot_be_recognised_is_shown_all_the_same(state, monkeypatch):
    def fails(image):
        raise AtomnbError("no")

    monkeypatch.setattr("atomnb.locate.recognize.look_at_middle", fails)
    state.open_path("lattice.npy")
    assert state.opened is not None and state.report is None
    assert "not recognised" in state.suggestion
