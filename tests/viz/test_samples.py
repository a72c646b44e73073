"""The viewer of samples: images as they are, columns where they are, classes in their colours."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from atomnb.data.labelled_scene import LabelledScene
from atomnb.errors import AtomnbError
from atomnb.viz.samples import class_colour, show_samples, show_scene

CLASSES = ("Mo", "S2")


def scene(number=0):
    rng = np.random.default_rng(number)
    class_map = np.zeros((32, 48), np.uint8)
    class_map[4:9, 4:9], class_map[20:25, 30:35], class_map[0, 0] = 1, 2, 255
    return LabelledScene(
        rng.normal(size=(32, 48)), class_map, np.array([[6.0, 6.5], [22.0, 32.0]]), np.array(["Mo", "S2"], object),
        np.array([1, 2], np.uint8), 0.1, f"mos2-{number}", {"dose": 300.0, "dose_unit": "electrons_per_column"},
    )  # fmt: skip


def test_one_scene_on_axes_of_our_own():
    axes = Figure().subplots(1, 3)
    assert show_scene(scene(), classes=CLASSES, axes=axes) is axes
    np.testing.assert_array_equal(axes[0].images[0].get_array(), scene().image)
    drawn = axes[1].images[0].get_array()
    for y, x, code in ((6, 6, 1), (22, 32, 2), (15, 15, 0), (0, 0, 255)):
        np.testing.assert_allclose(drawn[y, x], matplotlib.colors.to_rgb(class_colour(code)))
    points = [c.get_offsets() for c in axes[2].collections]
    np.testing.assert_allclose(np.concatenate(points), [[6.5, 6.0], [32.0, 22.0]])
    assert axes[2].get_ylim() == (31.5, -0.5)
    assert "300 e⁻ per column" in axes[0].get_title()


def test_a_figure_of_samples(tmp_path):
    figure = show_samples([scene(i) for i in range(6)], classes=CLASSES, n=3)
    assert len(figure.axes) == 9
    titles = [ax.get_title().splitlines()[0] for ax in figure.axes[::3]]
    assert len(set(titles)) == 3 and titles == sorted(titles)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Mo (3)", "S2 (3)"]
    figure.savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 10_000


def test_the_seed_chooses_the_samples():
    def titles(seed):
        figure = show_samples([scene(i) for i in range(30)], classes=CLASSES, n=3, seed=seed)
        return [ax.get_title() for ax in figure.axes[::3]]

    assert titles(1) == titles(1) != titles(2)
    assert titles(None)[0].startswith("mos2-0")


def test_scenes_may_come_one_at_a_time():
    figure = show_samples((scene(i) for i in range(2)), classes=CLASSES, n=4)
    assert len(figure.axes) == 6


def test_bad_input():
    with pytest.raises(AtomnbError, match="no scenes"):
        show_samples([], classes=CLASSES)
    with pytest.raises(AtomnbError, match="from 1 to 12"):
        show_samples([scene()], classes=CLASSES, n=0)
    with pytest.raises(AtomnbError, match=r"labels \[2\]"):
        show_scene(scene(), classes=("Mo",))
    with pytest.raises(AtomnbError, match="three"):
        show_scene(scene(), classes=CLASSES, axes=Figure().subplots(1, 2))
