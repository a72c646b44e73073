"""The instant image of a structure keeps the scattered electrons, shows heavy columns brighter, and repeats."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError, RangeWarning
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.optics import Optics, detector_angles
from atomnb.simulate.probe_scattering import scattering_strength
from atomnb.simulate.structures import create_structure

OPTICS = Optics(energy_ev=80e3, semiangle_mrad=30.0)


@pytest.fixture(scope="module")
def sheet():
    return create_structure("mos2", size_angstrom=(25, 25))


def test_the_scattered_electrons_are_those_of_all_atoms(sheet):
    image = convolution_image(sheet, optics=OPTICS, pixel_size=0.1)
    strength = scattering_strength(sheet.atoms.numbers, OPTICS, detector_angles("haadf", OPTICS))
    assert image.mean() * np.prod(sheet.size_angstrom) == pytest.approx(strength.sum(), rel=0.01)
    assert image.min() >= 0


def test_molybdenum_is_brighter_than_two_sulfurs_and_both_than_the_gap(sheet):
    image = convolution_image(sheet, optics=OPTICS, pixel_size=0.1)
    columns = sheet.columns()
    at = np.round(columns.positions_yx / 0.1).astype(int) % image.shape
    value = image[tuple(at.T)]
    metal, sulfur = (value[columns.content == name] for name in ("Mo", "S2"))
    assert metal.min() > 1.5 * sulfur.max()
    assert sulfur.min() > 2 * np.percentile(image, 5)


def test_a_wider_source_blurs_and_keeps_the_mean(sheet):
    sharp, blurred = (
        convolution_image(sheet, optics=Optics(80e3, 30.0, source_fwhm_angstrom=fwhm)) for fwhm in (0.4, 1.2)
    )
    assert blurred.std() < 0.8 * sharp.std()
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=0.01)


def test_atoms_that_vibrate_more_look_wider(sheet):
    usual, still = (convolution_image(sheet, optics=OPTICS, thermal_angstrom=thermal) for thermal in (None, 0.0))
    assert usual.std() < still.std()
    by_element = convolution_image(sheet, optics=OPTICS, thermal_angstrom={"Mo": 0.065, "S": 0.08})
    assert np.allclose(by_element, usual)


def test_coherent_detectors_are_refused(sheet):
    with pytest.raises(AtomnbError, match="simulate_multislice"):
        convolution_image(sheet, detector="abf")


def test_thick_crystals_are_told_and_thin_ones_are_not():
    thin, thick = (
        create_structure("srtio3-001", size_angstrom=(8, 8), options={"thickness_angstrom": t}) for t in (20.0, 60.0)
    )
    convolution_image(thin)
    with pytest.warns(RangeWarning, match="channelling"):
        convolution_image(thick)
