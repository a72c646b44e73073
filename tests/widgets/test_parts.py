"""The parts a page is made of: data folder, pyramid, jobs, reports, upload, code, histogram bins."""

import os
import shutil
import threading
import time

import numpy as np
import pytest

from atomnb.errors import AtomnbError, ImageError
from atomnb.widgets.debounce import debounced
from atomnb.widgets.find_atoms_code import Request, Source, code_of, notebook_of
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.folder_list import FolderList
from atomnb.widgets.histogram import LinkedHistogram, bin_edges
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.parts import Upload
from atomnb.widgets.pyramid import TILE, Pyramid
from atomnb.widgets.report import guarded, report_of


def test_the_folder_lists_folders_and_images_only(folder):
    assert [(e.name, e.is_folder) for e in folder.entries()] == [
        ("inner", True),
        ("broken.dm3", False),
        ("lattice.npy", False),
    ]
    assert [e.path for e in folder.entries("inner")] == ["inner/stack.npy"]


def names_in(listed: FolderList) -> list[str]:
    return [item["name"] for item in listed.items]


def test_the_list_of_files_is_made_anew_whenever_the_browser_asks(folder):
    """A page may be opened long after its process was started, and files come while it is open."""
    listed = FolderList(
        folder, endings={".npy"}, label="", empty="", on_file=lambda path: None, guard=lambda callback: callback
    )
    assert listed.can_list_again and names_in(listed) == ["inner", "lattice.npy"]
    (folder.root / "new.npy").write_bytes(b"")
    listed._handle_custom_msg({"kind": "list"}, [])
    assert names_in(listed) == ["inner", "lattice.npy", "new.npy"]
    listed.show("inner")
    (folder.root / "inner" / "late.npy").write_bytes(b"")
    listed._handle_custom_msg({"kind": "list"}, [])
    assert names_in(listed) == ["..", "late.npy", "stack.npy"], "the folder shown is listed, not the first one"
    shutil.rmtree(folder.root / "inner")
    listed._handle_custom_msg({"kind": "list"}, [])
    assert names_in(listed) == ["lattice.npy", "new.npy"] and listed.heading == "data/"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_that_lead_out_are_neither_listed_nor_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    np.save(outside / "secret.npy", np.eye(20))
    (folder.root / "way_out").symlink_to(outside)
    (folder.root / "secret.npy").symlink_to(outside / "secret.npy")
    (folder.root / "inside.npy").symlink_to(folder.root / "lattice.npy")
    assert {e.name for e in folder.entries()} == {"inner", "broken.dm3", "lattice.npy", "inside.npy"}
    for path in ("way_out/secret.npy", "secret.npy", "way_out", "\0"):
        with pytest.raises(AtomnbError, match="not in the data folder"):
            folder.resolve(path)


def test_a_missing_data_folder_says_so(tmp_path):
    with pytest.raises(AtomnbError, match="does not exist"):
        DataFolder(tmp_path / "nowhere")


def test_the_pyramid_keeps_values_and_shape(rng):
    image = rng.normal(1000, 50, (1300, 700))
    pyramid = Pyramid(image)
    assert [level.shape for level in pyramid.levels] == [(1300, 700), (650, 350), (325, 175)]
    step = (pyramid.high - pyramid.low) / 65535
    back = pyramid.low + pyramid.levels[0] * step
    np.testing.assert_allclose(back, image, atol=step)
    assert pyramid.levels[2].mean() == pytest.approx(pyramid.levels[0].mean(), rel=1e-3)
    assert pyramid.tile(0, 2, 1).shape == (1300 - 2 * TILE, 700 - TILE)
    np.testing.assert_array_equal(pyramid.tile(0, 0, 1), pyramid.levels[0][:TILE, TILE:])
    for outside in ((0, 3, 0), (0, -1, 0)):
        with pytest.raises(IndexError):
            pyramid.tile(*outside)


def test_a_single_peak_survives_in_a_probability_pyramid():
    probability = np.zeros((2048, 2048), np.float32)
    probability[1001, 777] = 1
    pyramid = Pyramid(probability, reduce="max", dtype=np.uint8, limits=(0.0, 1.0))
    assert all(level.max() == 255 for level in pyramid.levels)


def test_contrast_ignores_single_hot_pixels(rng):
    image = rng.normal(100, 5, (600, 600))
    image[5, 5] = 1e6
    low, high = Pyramid(image).contrast()
    assert high - low < 0.01


def test_a_job_reports_in_order_and_ends():
    done, seen = threading.Event(), []
    jobs = Jobs()
    jobs.observe(lambda change: seen.append(change["new"]), "fraction")

    def work(progress):
        for fraction in (0.2, 0.6):
            progress(fraction, "working")
            time.sleep(0.12)
        return "result"

    jobs.run("Test", work, done=lambda result: (seen.append(result), done.set()), failed=seen.append)
    with pytest.raises(AtomnbError, match="still running"):
        jobs.run("Other", work, done=seen.append, failed=seen.append)
    assert done.wait(5)
    assert seen == [0.2, 0.6, "result"]
    assert not jobs.busy


def test_a_cancelled_job_frees_the_page_at_once_and_its_result_is_dropped():
    go_on, done, seen = threading.Event(), threading.Event(), []
    jobs = Jobs()

    def slow(progress):
        go_on.wait(5)
        return "too late"

    jobs.run("Slow", slow, done=seen.append, failed=seen.append)
    jobs.cancel()
    assert not jobs.busy
    jobs.run("Quick", lambda progress: "quick", done=lambda r: (seen.append(r), done.set()), failed=seen.append)
    assert done.wait(5)
    go_on.set()
    time.sleep(0.1)
    assert seen == ["quick"]


def test_reports_carry_the_remedy_and_the_traceback():
    shown = []

    @guarded(shown.append, "testing")
    def fail():
        raise ImageError("the image is empty: open another")

    fail()
    assert shown[0].message == "the image is empty: open another"
    assert "ImageError" in shown[0].details
    assert "fault in atomnb" in report_of(KeyError("x"), doing="testing").message
    assert "memory" in report_of(MemoryError(), doing="testing").message


def test_an_upload_arrives_whole_and_stays_in_its_folder():
    arrived, refused = [], []
    upload = Upload(on_file=arrived.append, on_refused=refused.append)
    content = os.urandom(10_000)
    for start in range(0, len(content), 4096):
        piece = {"kind": "piece", "name": "../../evil.npy", "size": len(content), "from": start}
        upload._on_message(upload, piece, [memoryview(content[start : start + 4096])])
    assert arrived[0].read_bytes() == content
    assert arrived[0].name == "evil.npy"
    assert str(arrived[0]).startswith(upload._folder.name)
    upload._on_message(upload, {"kind": "piece", "name": "b.npy", "size": 99, "from": 50}, [b"x"])
    assert "broke off" in str(refused[0])
    assert len(arrived) == 1


def test_code_shows_only_what_differs_from_the_defaults():
    plain = Request(Source("sample", "si-110"), None, None, "universal", "auto", True, 0.2)
    assert "pixel_size" not in code_of(plain, threshold=0.5)
    full = Request(Source("file", "a b.dm3", 2), 3, 0.125, "mine", "dark", False, 0.2)
    code = code_of(full, threshold=0.5)
    for part in (
        "'a b.dm3', channel=2",
        "frame(3)",
        "pixel_size=0.125",
        "model='mine'",
        "contrast='dark'",
        "refine=False",
    ):
        assert part in code
    compile(code, "code", "exec")
    assert b"sample_image" in notebook_of(code_of(plain, threshold=0.5), title="Silicon")


def test_bins_cover_the_values_whatever_they_are(rng):
    for values in (np.zeros(0), np.ones(5), rng.normal(0, 1e-9, 50), rng.normal(5, 1, 100_000)):
        edges = bin_edges(values)
        assert (np.diff(edges) > 0).all()
        assert 8 <= len(edges) - 1 <= 60
        assert np.histogram(values, edges)[0].sum() >= 0.99 * len(values)


def test_the_histogram_shows_values_and_selection(rng):
    from bokeh.events import SelectionGeometry

    ranges = []
    histogram = LinkedHistogram(on_range=lambda low, high: ranges.append((low, high)))
    values = rng.normal(5, 1, 400)
    histogram.show(values, values > 6, "Distance (Å)")
    figure = histogram._plot.state
    tops = [r.data_source.data["top"].sum() for r in figure.renderers]
    assert tops[0] == pytest.approx(400, abs=4)
    assert tops[1] == pytest.approx((values > 6).sum(), abs=4)
    assert figure.x_range.start < values.min() + 1 < figure.x_range.end
    assert figure.xaxis[0].axis_label == "Distance (Å)"
    geometry = {"type": "rect", "x0": 4.0, "x1": 5.0, "y0": 0, "y1": 1}
    figure._trigger_event(SelectionGeometry(figure, geometry=geometry, final=True))
    assert ranges == [(4.0, 5.0)]


def test_debounced_runs_at_once_without_a_loop_and_once_with_one():
    import asyncio

    calls = []
    # In a thread of its own: a browser test before this one leaves its event loop in the main thread.
    alone = threading.Thread(target=debounced(lambda: calls.append(1)))
    alone.start()
    alone.join()
    assert calls == [1]

    async def many():
        later = debounced(lambda: calls.append(2), seconds=0.02)
        for _ in range(5):
            later()
        await asyncio.sleep(0.1)

    alone = threading.Thread(target=lambda: asyncio.run(many()))
    alone.start()
    alone.join()
    assert calls == [1, 2]
