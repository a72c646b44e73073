"""The diffractogram: spots lie where the lattice puts them, at any angle of the scan."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.simulate.class_schemes import SCHEMES
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.diffractogram import lattice_spots, log_power
from atomnb.simulate.exposures import ExposureConfig, make_exposures
from atomnb.simulate.ideal import ideal_image
from atomnb.simulate.optics import Optics
from atomnb.simulate.structures import create_structure

GRAPHENE_SPACING = 1.42 * 1.5  # d(10-10), Å


@pytest.fixture(scope="module")
def graphene():
    structure = create_structure("graphene", size_angstrom=(50, 50))
    image = convolution_image(structure, optics=Optics(energy_ev=60e3, semiangle_mrad=32), pixel_size=0.1)
    return ideal_image(image, structure, pixel_size=0.1, scheme=SCHEMES["columns"])


def test_a_wave_is_a_pair_of_spots_at_its_frequency():
    x = np.arange(200) * 0.1
    shown, step = log_power(np.ones((200, 1)) + np.cos(2 * np.pi * x / 2.0), pixel_size=0.1, reach=1.0)
    n = len(shown) // 2
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert row == n
    assert abs(column - n) * step == pytest.approx(0.5, abs=step)
    assert shown.shape == (2 * n + 1, 2 * n + 1) and n * step == pytest.approx(1.0, abs=step)


def test_the_strongest_spots_of_graphene_form_its_hexagon(graphene):
    spots = lattice_spots(graphene, reach=1.1)
    first = np.hypot(*spots.T) < 0.6
    assert first.sum() == 6
    np.testing.assert_allclose(np.hypot(*spots[first].T), 1 / GRAPHENE_SPACING, rtol=0.01)
    angles = np.sort(np.arctan2(*spots[first].T))
    np.testing.assert_allclose(np.diff(angles), np.pi / 3, atol=0.02)


def test_bright_impurities_make_no_spots():
    structure = create_structure("graphene-si", size_angstrom=(50, 50))
    image = convolution_image(structure, optics=Optics(energy_ev=60e3, semiangle_mrad=32), pixel_size=0.1)
    spots = lattice_spots(ideal_image(image, structure, pixel_size=0.1, scheme=SCHEMES["columns"]), reach=0.55)
    assert len(spots) == 6
    np.testing.assert_allclose(np.hypot(*spots.T), 1 / GRAPHENE_SPACING, rtol=0.01)


def spots_of(name, *, size=(40, 40), options=None, reach=1.1):
    structure = create_structure(name, size_angstrom=size, options=options)
    image = convolution_image(structure, optics=Optics(energy_ev=80e3, semiangle_mrad=30), pixel_size=0.1)
    return lattice_spots(ideal_image(image, structure, pixel_size=0.1, scheme=SCHEMES["columns"]), reach=reach)


def spacings(spots):
    """Spacings (Å) of the spots, each once, the largest first."""
    return 1 / np.unique(np.round(np.hypot(*spots.T), 4))


@pytest.mark.filterwarnings("ignore::atomnb.errors.RangeWarning")
@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("mos2-mirror-twin", 3.160 * 3**0.5 / 2),
        ("mose2-w-alloy", 3.288 * 3**0.5 / 2),
        ("graphene-edge", GRAPHENE_SPACING),
        ("graphene-grain-boundary", GRAPHENE_SPACING),
        ("si-110-fault", 5.431 / 3**0.5),
        ("fcc-001", 4.078 / 2),
    ],
)
def test_spots_are_those_of_the_host_and_not_of_the_box(name, spacing):
    found = spacings(spots_of(name))
    assert found[0] == pytest.approx(spacing, rel=2e-3)


@pytest.mark.filterwarnings("ignore::atomnb.errors.RangeWarning")
def test_both_grains_of_a_boundary_have_their_spots():
    spots = spots_of("graphene-grain-boundary", size=(50, 80), reach=0.55)
    assert len(spots) == 12
    angles = np.rad2deg(np.arctan2(*spots.T)) % 60
    first, second = np.unique(np.round(angles, 1))
    assert min((second - first) % 60, (first - second) % 60) == pytest.approx(21.8, abs=0.2)


@pytest.mark.filterwarnings("ignore::atomnb.errors.RangeWarning")
def test_a_gold_particle_has_the_spots_of_gold_along_its_zone():
    spots = spots_of("nanoparticle", options={"zone": "110", "form": "cuboctahedron"}, reach=0.52)
    allowed = 4.078 / np.sqrt([3, 4])  # {111} and {200}
    assert spacings(spots) == pytest.approx(allowed, rel=2e-3)
    assert len(spots) == 6
    structure = create_structure("nanoparticle", options={"zone": "110"})
    power, step = log_power(
        convolution_image(structure, optics=Optics(energy_ev=80e3, semiangle_mrad=30), pixel_size=0.1),
        pixel_size=0.1, reach=0.6,
    )  # fmt: skip
    at = np.round(spots / step).astype(int) + len(power) // 2
    assert power[tuple(at.T)].min() > np.median(power) + 1


@pytest.mark.filterwarnings("ignore::atomnb.errors.RangeWarning")
@pytest.mark.parametrize(
    ("name", "options"),
    [("si-amorphous", {"steps": 100, "thickness_angstrom": 10.0}), ("nanoparticle", {"form": "icosahedron"})],
)
def test_without_a_lattice_there_are_no_spots(name, options):
    assert spots_of(name, size=(30, 30) if "amorphous" in name else (40, 40), options=options).shape == (0, 2)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_an_exposure_shows_power_at_the_spots_of_its_lattice(graphene, angle):
    still = {name: (0.0, 0.0) for name in ("row_jitter_px", "drift_px", "flyback_px", "afterglow", "readout_noise")}
    config = ExposureConfig(
        shape=(300, 300), pixel_size=(0.15, 0.15), dose=(1e5, 1e5), rotation_rad=(angle, angle), **still
    )
    exposure = next(make_exposures(graphene, 1, config=config))
    shown, step = log_power(exposure.image, pixel_size=0.15, reach=0.6)
    middle = len(shown) // 2
    at = np.round(lattice_spots(graphene, reach=0.55, rotation_rad=angle) / step).astype(int) + middle
    assert len(at) == 6
    assert shown[tuple(at.T)].min() > 2
    assert np.median(shown) < 0.5


def test_a_line_of_pixels_is_refused():
    with pytest.raises(AtomnbError, match="at least 8 px"):
        log_power(np.zeros(30), pixel_size=0.1, reach=1.0)
