"""The page Simulate, without a browser: its panels follow the state, and the state follows its fields."""

import pytest

from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.simulate import Simulate
from atomnb.widgets.simulate_state import FILE, SimulateState


@pytest.fixture
def page(tmp_path, monkeypatch):
    # a browser test that ran before may have left an event loop running, in which the page would draw later
    monkeypatch.setattr("atomnb.widgets.simulate.debounced", lambda callback: lambda *_: callback())
    state = SimulateState(folder=DataFolder(tmp_path), preview=Jobs(threaded=False), jobs=Jobs(threaded=False))
    state.frame, state.size = 128, 22.0
    made = Simulate(state)
    state.render()
    assert state.report is None, state.report
    return made


def test_the_page_shows_image_truth_and_diffraction(page):
    assert page.canvas.view["height"] == 128
    assert page.canvas.group_names == ["Mo", "S", "S2", "vacancy"]
    titles = [shown["title"] for shown in page.views.pictures.pictures]
    assert titles == ["Class map", "Diffraction"]
    assert "Mo" in page.views.numbers.value


def test_the_instant_engine_says_where_it_fails(page):
    about = page.microscope.about
    assert "channelling" not in about.value
    page.state.choose_structure("srtio3-001")
    page.state.render()
    assert page.state.report is None, page.state.report
    assert "channelling" in about.value and "an-warning" in about.value


def test_every_structure_can_be_chosen(page):
    panel = page.structure
    assert panel.family.options[-1] == ("Your own file", FILE)
    for _, family in panel.family.options[:-1]:
        panel.family.value = family
        assert panel.kinds[page.state.structure].family == family
        assert panel.kind.value == page.state.structure
        assert len(panel.fold.rows.children) == len(panel.kinds[page.state.structure].settings)
    assert page.error.report == {}, page.error.report


def test_a_structure_with_a_long_name_is_written_out(page):
    panel = page.structure
    panel.family.value = "perovskite"
    assert panel.kind.label == "SrTiO3, cubic [001]" == panel.kind.tooltip
    assert panel.summary.layout.display == "none"
    panel.family.value = "graphene"
    panel.kind.value = "graphene-vacancies"
    name = "Graphene with single and double vacancies and Stone–Wales defects"
    assert panel.kind.tooltip == name and name in panel.summary.value and panel.summary.layout.display is None
    panel.family.value = FILE
    assert panel.summary.layout.display == "none"


def test_a_file_takes_the_place_of_the_structure_only_once_it_is_chosen(page, tmp_path):
    panel = page.structure
    (tmp_path / "copper.xyz").write_text('1\nLattice="3.61 0 0 0 3.61 0 0 0 3.61"\nCu 0 0 0\n')
    (tmp_path / "image.png").write_bytes(b"")
    panel.family.value = FILE
    assert panel.kind_row.layout.display == "none" and panel.file.layout.display is None
    assert page.state.structure == "mos2" and not page.state.stale
    panel.file.files.show("")
    assert [item["name"] for item in panel.file.files.items] == ["copper.xyz"]
    panel.file.files._choose("copper.xyz")
    assert page.state.shown.classes == {"Cu": page.state.shown.classes["Cu"]}
    assert "copper" in page.title.subject and "copper.xyz" in panel.file.hint.value
    assert "your file" in page.views.set.note.value
    panel.file.zone.value = "up"
    assert "whole numbers" in page.error.report["message"]
    panel.file.zone.value = "1 1 0"
    assert page.state.shown.request.structure.zone_axis == (1, 1, 0)
    assert page.error.report == {}
    panel.family.value = "graphene"
    assert page.state.structure.startswith("graphene") and panel.file.layout.display == "none"


def test_a_field_changes_the_structure(page):
    page.structure.fields["v_m"].value = 3
    assert page.state.options["v_m"] == 3
    assert page.state.shown.request.structure == page.state.request.structure
    page.structure.fields["v_m"].value = 0
    assert "v_m" not in page.state.options


def test_the_code_view_shows_what_makes_image_and_set(page):
    page.views.view.value = "Code"
    assert "make_exposures" in page.views.image_code.code
    page.views.set.structures.value = 5
    assert "range(0, 5)" in page.views.set_code.code


def test_too_small_frames_are_pointed_out_before_the_set_is_built(page):
    assert "Train needs" in page.views.set.note.value
    page.state.frame = 256
    assert page.views.set.note.value == ""


def test_while_a_structure_is_built_the_old_image_is_dimmed_and_says_so(page, monkeypatch):
    seen, build = [], page.state._structure

    def watched(request):
        seen.append((page.canvas.busy, "an-outdated" in page._dom_classes))
        return build(request)

    monkeypatch.setattr(page.state, "_structure", watched)
    page.state.choose_structure("graphene")
    assert set(seen) == {("building the structure …", True)}
    assert page.canvas.busy == "" and "an-outdated" not in page._dom_classes


def test_while_multislice_runs_nobody_is_told_to_run_it(page, monkeypatch):
    page.state.choose_engine("multislice")
    assert "estimate and run multislice" in page.stale.value
    told = []
    monkeypatch.setattr(page.state, "_simulate", lambda request, progress: told.append(page.stale.value))
    monkeypatch.setattr(page.state, "_take", lambda shown: None)
    page.state.run_multislice()
    assert "multislice is running" in told[0] and "estimate and run" not in told[0]
    assert "estimate and run multislice" in page.stale.value  # it ended without an image


def test_the_set_that_was_built_can_be_looked_at(page):
    viewer = page.views.set.samples
    assert viewer.layout.display == "none"
    page.state.set_structures, page.state.set_images = 3, 1
    page.views.set.button.click()
    assert page.state.report is None, page.state.report
    assert viewer.layout.display is None and "of 3" in viewer.where.value
    assert len(viewer.pictures.pictures) == 2 and "vacancy" in viewer.counts.value


def test_multislice_can_run_only_after_its_estimate(page):
    page.microscope.engine.value = "multislice"
    assert page.microscope.run.disabled
    assert "former choices" in page.stale.value
    assert "abf" in [name for _, name in page.microscope.detector.options]
    page.microscope.engine.value = "fast"
    assert page.stale.layout.display == "none"


def test_a_size_beyond_the_limits_is_told_and_not_taken_silently(page, monkeypatch):
    monkeypatch.setattr(page.state.preview, "run", lambda *_, **__: None)  # an image of 400 Å takes half a minute
    panel = page.structure
    panel.size.value = -4.0
    assert page.state.size == panel.size.value == 5.0
    assert "-4 Å is not possible" in panel.size_note.value and "5 Å was taken" in panel.size_note.value
    panel.size.value = 25.0
    assert page.state.size == 25.0 and panel.size_note.value == ""
    panel.size.value = 9000.0
    assert page.state.size == 400.0 and "9000 Å is not possible" in panel.size_note.value
    page.state.size = 30.0
    assert panel.size.value == 30.0 and panel.size_note.value == ""
    panel.size.value = 9000.0
    panel.size.value = 5.0
    assert page.state.size == 5.0 and panel.size_note.value == "", "a size at the limit is possible"


def test_a_structure_smaller_than_the_frame_says_that_it_repeats(page):
    panel, state = page.structure, page.state
    state.size = 10.0
    state.render()
    assert "smaller than the frame, 19 Å" in panel.tiling.value and "an-warning" in panel.tiling.value
    state.size = 25.0
    state.render()
    assert panel.tiling.value == ""
