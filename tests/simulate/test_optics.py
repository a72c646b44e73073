"""The microscope's numbers: wavelengths, phases, detectors, random microscopes within their ranges."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import (
    Optics,
    OpticsRanges,
    aberration_phase,
    detector_angles,
    sample_optics,
    wavelength_angstrom,
)


@pytest.mark.parametrize(("energy", "picometre"), [(60e3, 4.866), (80e3, 4.176), (100e3, 3.701), (200e3, 2.508)])
def test_wavelength_is_the_textbook_s(energy, picometre):
    assert 100 * wavelength_angstrom(energy) == pytest.approx(picometre, abs=6e-4)


def test_spherical_aberration_delays_by_a_quarter_of_the_fourth_power():
    optics = Optics(energy_ev=200e3, aberrations={"C30": 1e4})
    k = np.array([0.0, 0.4, 0.8])
    expected = 2 * np.pi / optics.wavelength_angstrom * 1e4 / 4 * (optics.wavelength_angstrom * k) ** 4
    assert np.allclose(aberration_phase(optics, 0 * k, k), expected)
    assert np.allclose(aberration_phase(optics, k, 0 * k), expected)


def test_astigmatism_has_two_axes_and_turns_with_its_azimuth():
    def phase(azimuth, ky, kx):
        optics = Optics(aberrations={"C12": 20.0, "phi12": azimuth})
        return float(aberration_phase(optics, np.array(ky), np.array(kx)))

    assert phase(0.0, 0.0, 0.5) == pytest.approx(-phase(0.0, 0.5, 0.0))
    assert phase(np.pi / 2, 0.5, 0.0) == pytest.approx(phase(0.0, 0.0, 0.5))


def test_underfocus_is_a_negative_c10():
    optics = Optics(defocus_angstrom=50.0)
    assert aberration_phase(optics, np.array(0.0), np.array(0.5)) < 0


def test_random_microscopes_stay_in_their_ranges_and_repeat(rng):
    ranges = OpticsRanges(energy_ev=(80e3,), aberrations={"C12": (0.0, 10.0), "C30": (-500.0, 500.0)})
    drawn = [sample_optics(rng, ranges) for _ in range(200)]
    assert {one.energy_ev for one in drawn} == {80e3}
    assert all(0 <= one.aberrations["C12"] <= 10 and abs(one.aberrations["C30"]) <= 500 for one in drawn)
    assert np.ptp([one.aberrations["phi12"] for one in drawn]) > 5
    assert all("phi30" not in one.aberrations for one in drawn)
    assert sample_optics(np.random.default_rng(3)) == sample_optics(np.random.default_rng(3))


def test_detectors_follow_the_aperture():
    optics = Optics(semiangle_mrad=30.0)
    assert detector_angles("abf", optics) == (15.0, 30.0)
    assert detector_angles("bf", optics) == (0.0, 15.0)
    inner, outer = detector_angles("maadf", optics)
    assert 30 < inner < outer <= detector_angles("haadf", optics)[0]
    assert detector_angles("haadf", optics, {"haadf": (80, 120)}) == (80.0, 120.0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Optics(aberrations={"C13": 1.0}), "C13"),
        (lambda: Optics(aberrations={"C12": float("nan")}), "C12"),
        (lambda: Optics(energy_ev=200), "energy_ev"),
        (lambda: Optics(semiangle_mrad=0.025), "mrad"),
        (lambda: detector_angles("eels", Optics()), "eels"),
        (lambda: detector_angles("haadf", Optics(), {"haadf": (10, 100)}), "direct beam"),
        (lambda: detector_angles("abf", Optics(), {"abf": (20, 10)}), "inner < outer"),
        (lambda: sample_optics(np.random.default_rng(0), OpticsRanges(semiangle_mrad=(30, 20))), "semiangle_mrad"),
    ],
)
def test_errors_name_what_is_wrong(make, word):
    with pytest.raises(AtomnbError, match=word):
        make()
