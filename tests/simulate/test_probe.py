"""The convolution model: a probe like abTEM's, sub-pixel positions, and a single atom's image like multislice."""

import numpy as np
import pytest
import torch

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import Optics
from atomnb.simulate.probe import probe_image, probe_transfer, render_convolution
from atomnb.simulate.probe_scattering import apparent_width, scattering_strength

OPTICS = Optics(80e3, 28.0, 8.0, {"C12": 15.0, "phi12": 0.4, "C21": 200.0, "phi21": 1.0, "C30": 2000.0}, 0.6)
SHAPE = (80, 60)
PIXEL = 0.2
EXTENT = (SHAPE[0] * PIXEL, SHAPE[1] * PIXEL)


def render(yx, strength, width, optics=OPTICS):
    points = torch.as_tensor(yx, dtype=torch.float32)[None]
    fill = [torch.as_tensor(v, dtype=torch.float32).expand(1, points.shape[1]) for v in (strength, width)]
    return render_convolution(points, *fill, probe_transfer(optics, EXTENT), shape=SHAPE, pixel_size=PIXEL)[0].numpy()


def spread(image):
    """Second moment (Å²) along x about the centre of a field with one atom."""
    x = (np.arange(SHAPE[1]) - 30) * PIXEL
    return (image.sum(0) * x**2).sum() / image.sum()


def test_the_image_s_integral_is_the_scattering_power():
    image = render([[8.03, 6.11], [3.0, 2.0]], [0.01, 0.03], 0.1)
    assert image.sum() * PIXEL**2 == pytest.approx(0.04, rel=1e-4)


def test_moving_an_atom_by_whole_pixels_moves_its_image():
    here, there = render([[7.93, 6.17]], 1.0, 0.1), render([[7.93 + 3 * PIXEL, 6.17 - 5 * PIXEL]], 1.0, 0.1)
    assert np.allclose(np.roll(here, (3, -5), (0, 1)), there, atol=1e-5)


def test_a_sub_pixel_position_is_exact_where_the_probe_is_even():
    spectrum = np.fft.fft2(render([[8.07, 6.15]], 1.0, 0.1, Optics(80e3, 28.0)))
    found = [
        -np.angle(c) * length / (2 * np.pi) for c, length in zip((spectrum[1, 0], spectrum[0, 1]), EXTENT, strict=True)
    ]
    assert np.mod(found, EXTENT) == pytest.approx([8.07, 6.15], abs=1e-4)


def test_thermal_motion_adds_its_variance():
    sharp, soft = render([[8.0, 6.0]], 1.0, 0.0), render([[8.0, 6.0]], 1.0, 0.3)
    assert spread(soft) - spread(sharp) == pytest.approx(0.3**2, abs=0.01)


def test_many_microscopes_render_at_once_as_each_alone():
    others = [OPTICS, Optics(80e3, 22.0, -10.0)]
    points = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor(EXTENT)
    ones = torch.ones(2, 5)
    many = render_convolution(
        points, ones, 0.1 * ones, probe_transfer(others, EXTENT), shape=SHAPE, pixel_size=PIXEL
    ).numpy()
    for image, yx, optics in zip(many, points, others, strict=True):
        assert np.allclose(image, render(yx, 1.0, 0.1, optics), atol=1e-4)


def test_defocus_and_source_spread_the_probe():
    plain = Optics(80e3, 28.0, source_fwhm_angstrom=0.0)
    peak = probe_image(plain, shape=SHAPE, pixel_size=PIXEL).max()
    assert probe_image(Optics(80e3, 28.0, 60.0, source_fwhm_angstrom=0.0), shape=SHAPE, pixel_size=PIXEL).max() < peak
    assert probe_image(Optics(80e3, 28.0, source_fwhm_angstrom=1.0), shape=SHAPE, pixel_size=PIXEL).max() < peak


def test_arrays_that_disagree_are_named():
    with pytest.raises(AtomnbError, match="must agree"):
        render_convolution(
            torch.zeros(1, 3, 2), torch.ones(1, 2), torch.ones(1, 3), probe_transfer(OPTICS, EXTENT),
            shape=SHAPE, pixel_size=PIXEL,
        )  # fmt: skip


def test_the_probe_is_abtem_s():
    abtem = pytest.importorskip("abtem")
    from atomnb.simulate.multislice_engine import abtem_settings
    from atomnb.simulate.multislice_plan import MultisliceConfig

    side, pixel = 60.0, 0.15
    n = round(side / pixel)
    optics = Optics(OPTICS.energy_ev, OPTICS.semiangle_mrad, 8.0, OPTICS.aberrations, 0.0)
    with abtem_settings(MultisliceConfig()):
        probe = abtem.Probe(
            energy=optics.energy_ev, semiangle_cutoff=28.0, extent=side, gpts=n, defocus=8.0, **optics.aberrations
        )
        theirs = probe.build((side / 2, side / 2), lazy=False).intensity().array.T
    ours = probe_image(optics, shape=(n, n), pixel_size=pixel)
    theirs = theirs / theirs.sum() / pixel**2
    # abTEM softens the aperture's edge by one pixel of its grid
    assert np.abs(ours - theirs).max() < 0.02 * theirs.max()


@pytest.mark.parametrize(("symbol", "detector"), [("C", "haadf"), ("Mo", "haadf"), ("Mo", "maadf")])
def test_a_single_atom_looks_as_in_multislice(symbol, detector):
    ase = pytest.importorskip("ase")
    pytest.importorskip("abtem")
    from atomnb.simulate.multislice import MultisliceConfig, simulate_multislice

    angles = {"haadf": (60.0, 120.0), "maadf": (36.0, 60.0)}
    atoms = ase.Atoms(symbol, positions=[[6.0, 6.0, 2.0]], cell=(12.0, 12.0, 4.0), pbc=True)
    config = MultisliceConfig(detectors=(detector,), angles_mrad=angles, phonons=0, interpolation=1, pixel_size=0.2)
    optics = Optics(80e3, 28.0, 10.0, {"C12": 12.0, "phi12": 0.5}, 0.6)
    theirs = simulate_multislice(atoms, optics=optics, config=config).images[detector]
    strength = scattering_strength(atoms.numbers, optics, angles[detector])
    width = apparent_width(optics, angles[detector], np.zeros(1))
    ours = render_convolution(
        torch.tensor([[[6.0, 6.0]]]),
        torch.tensor(strength, dtype=torch.float32)[None],
        torch.tensor(width, dtype=torch.float32)[None],
        probe_transfer(optics, (12.0, 12.0)),
        shape=theirs.shape,
        pixel_size=0.2,
    )[0].numpy()
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.06)
    shape_error = np.linalg.norm(ours * theirs.sum() / ours.sum() - theirs) / np.linalg.norm(theirs)
    assert shape_error < (0.03 if detector == "haadf" else 0.06)


def test_scattering_grows_with_z_to_a_power_below_two_and_less_at_small_angles():
    z = np.array([6, 14, 32, 50, 79])
    far = np.polyfit(np.log(z), np.log(scattering_strength(z, OPTICS, (70, 180))), 1)[0]
    near = np.polyfit(np.log(z), np.log(scattering_strength(z, OPTICS, (35, 60))), 1)[0]
    assert 1.5 < far < 2.0 and near < far - 0.1


def test_a_detector_in_the_direct_beam_is_refused():
    with pytest.raises(AtomnbError, match="multislice"):
        scattering_strength([6], OPTICS, (14, 28))
    with pytest.raises(AtomnbError, match="atomic number 120"):
        scattering_strength([120], OPTICS, (70, 180))
