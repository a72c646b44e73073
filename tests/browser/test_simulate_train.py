"""From a structure to a model of one's own, in a real browser: simulate, build a set, train, save, find atoms."""

import pytest

from atomnb.data.labelled_set import open_labelled_set
from atomnb.train.rundir import read_run

from .conftest import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_MS = 280_000
STEPS = 12


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A server whose user has an empty data folder and no models; name it before `page`, which must end first."""
    monkeypatch.setenv("ATOMNB_MODELS", str(tmp_path / "models"))
    (tmp_path / "data").mkdir()
    server = Served(tmp_path / "data")
    yield server
    server.stop()


def fill(page, label: str, value) -> None:
    """Type into the field of the row with this label."""
    field = page.locator(f".an-setting:has-text('{label}') input").first
    field.fill(str(value))
    field.press("Enter")


def choose(page, label: str, option: str) -> None:
    page.locator(f".an-setting:has-text('{label}') select").first.select_option(label=option)


def open_simulate(page, server) -> None:
    page.goto(f"{server.url}/apps/simulate", wait_until="commit")
    page.wait_for_selector(".an-figure[data-drawn=true]", timeout=PATIENCE_MS)


def test_simulate_shows_image_truth_and_diffraction(page, served):
    open_simulate(page, served)
    assert page.locator(".an-figure-canvas").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.locator(".an-viewer").bounding_box()["height"] < 800
    page.wait_for_function("Number(document.querySelector('.an-viewer').dataset.shown) > 200")
    choose(page, "Family", "Amorphous")  # takes seconds
    page.wait_for_selector(".an-busy >> text=building the structure")
    page.wait_for_selector(".an-subject >> text=amorphous")
    page.wait_for_selector(".an-busy", state="hidden")
    choose(page, "Family", "Graphene")
    page.wait_for_function("document.querySelector('.an-subject').textContent.includes('graphene')")
    page.wait_for_selector(".an-classes >> text=C")
    choose(page, "Structure", "Graphene ribbon with zigzag or armchair edges")
    field = page.locator(".an-setting:has-text('Structure') select")
    assert field.bounding_box()["width"] > 250, "names have the whole row"
    page.wait_for_selector(".an-setting select[title='Graphene ribbon with zigzag or armchair edges']")
    choose(page, "Structure", "Graphene sheet")
    page.click("button:has-text('Defects and options')")
    fill(page, "Single vacancies", 900)
    page.wait_for_selector(".an-error >> text=do not fit")
    fill(page, "Single vacancies", 2)
    page.wait_for_selector(".an-error", state="hidden")
    page.click(".an-right .an-segments button:has-text('Code')")
    page.wait_for_function("document.querySelector('.an-code pre').textContent.includes(\"'vacancies': 2\")")
    choose(page, "Family", "Your own file")
    page.click(".an-left .an-item:has-text('copper.xyz')")
    page.wait_for_selector(".an-subject >> text=copper")
    fill(page, "Zone axis", "1 1 0")
    page.wait_for_function("document.querySelector('.an-code pre').textContent.includes('zone_axis=(1, 1, 0)')")
    page.click("button:has-text('Multislice')")
    page.wait_for_selector(".an-estimate")
    assert page.locator(".an-go:has-text('Run multislice')").is_disabled()


def test_from_a_structure_to_a_model_in_find_atoms(workshop, page):
    open_simulate(page, workshop)
    page.click(".an-right .an-segments button:has-text('Training set')")
    fill(page, "Name", "first")
    fill(page, "Structures", 3)
    fill(page, "Images of each", 2)
    page.click("button:has-text('Build 6 images'):enabled")
    page.wait_for_selector("[data-set='sets/first.h5']", timeout=PATIENCE_MS)
    assert len(open_labelled_set(workshop.data / "sets" / "first.h5")) == 6
    page.click(".an-samples button:has-text('›')")
    page.wait_for_selector(".an-sample-number:has-text('2 of 6')")
    last = page.locator(".an-samples .an-figure-canvas").last
    last.scroll_into_view_if_needed()
    assert last.bounding_box()["y"] + last.bounding_box()["height"] <= 801, "a long right side can be scrolled"

    page.goto(f"{workshop.url}/apps/train?set=sets/first.h5", wait_until="commit")
    page.wait_for_selector("text=6 images of 3 structures", timeout=PATIENCE_MS)
    page.wait_for_selector(".an-sight .an-samples .an-figure[data-drawn=true]")
    choose(page, "Architecture", "encoder–decoder")
    fill(page, "Steps", STEPS)
    page.click(".an-go:has-text('Train')")
    page.wait_for_selector(".an-stop")
    page.click(".an-right .an-segments button:has-text('Code')")
    page.wait_for_selector(".an-code >> text=fit_calibration_on")  # the page answers while the network learns
    page.click(".an-right .an-segments button:has-text('Curve')")
    page.wait_for_selector(f"text={STEPS} of {STEPS} steps · finished", timeout=PATIENCE_MS)
    page.wait_for_selector(".an-figure[data-drawn=true]")
    assert page.locator(".an-figure").count() == 4
    fill(page, "Name", "mine")
    page.click(".an-save:enabled")
    page.wait_for_selector("[data-model='mine']", timeout=PATIENCE_MS)

    page.goto(f"{workshop.url}/apps/find_atoms?model=mine", wait_until="commit")
    page.wait_for_selector(".an-left .an-segments button", timeout=PATIENCE_MS)
    page.wait_for_function(
        "[...document.querySelectorAll('select')].some((s) => s.selectedOptions[0]?.textContent === 'mine')"
    )
    page.wait_for_selector(".an-card-box >> text=Trained on the labelled set first")


def test_a_page_reloaded_while_it_trains_offers_the_run_again(workshop, page):
    page.goto(f"{workshop.url}/apps/train", wait_until="commit")
    page.wait_for_selector(".an-invite", timeout=PATIENCE_MS)
    choose(page, "Architecture", "encoder–decoder")
    fill(page, "Steps", 400)
    page.click(".an-go:has-text('Train')")
    page.wait_for_function(
        "/^[1-9][0-9]* of 400/.test(document.querySelector('.an-progress .an-muted')?.textContent)", timeout=PATIENCE_MS
    )
    page.reload(wait_until="commit")
    page.wait_for_selector(".an-invite", timeout=PATIENCE_MS)
    run = "graphene-si-encoder-decoder-1"
    page.wait_for_selector(f".an-setting:has-text('Run') option:has-text('{run}')", state="attached")
    choose(page, "Run", run)
    page.wait_for_selector("text=/[1-9][0-9]* of 400 steps · stopped/")
    steps = int(page.locator(".an-progress .an-muted").inner_text().split()[0])
    fill(page, "Steps", steps + 20)
    page.click(".an-resume:enabled")
    page.wait_for_selector(f"text={steps + 20} of {steps + 20} steps · finished", timeout=PATIENCE_MS)
    sessions = read_run(workshop.data / "runs" / run)["sessions"]
    assert [session["from_step"] > 0 for session in sessions] == [False, True]


def test_train_says_what_is_missing(workshop, page):
    page.goto(f"{workshop.url}/apps/train", wait_until="commit")
    page.wait_for_selector(".an-invite", timeout=PATIENCE_MS)
    page.click(".an-left .an-segments button:has-text('Labelled set')")
    page.wait_for_selector("text=build one with Simulate")
    page.click(".an-go:has-text('Train')")
    page.wait_for_selector(".an-error >> text=no labelled set is chosen")
