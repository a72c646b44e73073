"""Multislice images obey physics, and runs are cached, cancelled, resumed and refused as promised."""

import time
from dataclasses import replace

import numpy as np
import pytest

from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError, CancelledError
from atomnb.simulate import multislice, multislice_estimate
from atomnb.simulate.multislice import (
    MultisliceConfig,
    Optics,
    estimate_multislice,
    simulate_many,
    simulate_multislice,
)
from atomnb.simulate.multislice_engine import prepared_atoms

ase = pytest.importorskip("ase")
pytest.importorskip("abtem")

OPTICS = Optics(energy_ev=80e3, semiangle_mrad=25.0, source_fwhm_angstrom=0.4)
QUICK = MultisliceConfig(
    phonons=0, interpolation=1, angles_mrad={"haadf": (60.0, 120.0)}, pixel_size=0.2, slice_thickness=3.0
)
SIDE = 7.0


def atom(symbol: str = "Si", yx=(3.4, 2.2), cell=(SIDE, SIDE + 1, 10.0)):
    return ase.Atoms(symbol, positions=[[yx[1], yx[0], 5.0]], cell=cell, pbc=True)


def test_a_single_atom_scatters_like_z_to_a_power_below_two():
    total = {}
    for symbol in ("C", "Si", "Mo"):
        image = simulate_multislice(atom(symbol), optics=OPTICS, config=QUICK).images["haadf"]
        total[atom(symbol).numbers[0]] = image.sum()
    exponent = np.polyfit(np.log(list(total)), np.log(list(total.values())), 1)[0]
    assert 1.6 < exponent < 2.0


def test_the_atom_is_where_its_position_says():
    result = simulate_multislice(atom(yx=(5.6, 2.2)), optics=OPTICS, config=QUICK)
    assert result.images["haadf"].shape == (40, 35) and result.images["haadf"].dtype == np.float32
    assert np.allclose(result.positions_yx, [[28.0, 11.0]]) and list(result.content) == ["Si"]
    assert np.unravel_index(result.images["haadf"].argmax(), (40, 35)) == (28, 11)


def test_all_detectors_come_from_one_pass_and_share_the_beam(monkeypatch):
    passes = []
    original = multislice.run_configuration
    monkeypatch.setattr(multislice, "run_configuration", lambda *a: passes.append(1) or original(*a))
    config = replace(QUICK, detectors=("haadf", "maadf", "abf", "bf"))
    images = simulate_multislice(atom("Mo"), optics=OPTICS, config=config).images
    assert len(passes) == 1
    assert all(image.min() >= 0 and image.max() < 1 for image in images.values())
    direct = images["abf"] + images["bf"]
    scattered = images["haadf"] + images["maadf"]
    assert (direct + scattered).max() < 1.001
    assert np.corrcoef(direct.ravel(), scattered.ravel())[0, 1] < -0.9


def test_prism_without_interpolation_is_multislice():
    prism = simulate_multislice(atom(), optics=OPTICS, config=QUICK).images["haadf"]
    full = simulate_multislice(atom(), optics=OPTICS, config=replace(QUICK, method="multislice")).images["haadf"]
    assert np.abs(prism - full).max() < 0.03 * full.max()


@pytest.mark.parametrize(("length", "factor"), [(7.0, 1), (11.3, 2), (16.1, 3)])
def test_the_scattering_matrix_has_the_planned_size(length, factor):
    from atomnb.simulate.multislice_engine import abtem_settings, build_potential, lazy_matrix
    from atomnb.simulate.multislice_plan import plan_multislice

    config = replace(QUICK, interpolation=factor)
    plan = plan_multislice((length, length + 1, 4.0), OPTICS, config)
    with abtem_settings(config):
        potential = build_potential(atom(cell=(length, length + 1, 4.0)), plan)
        matrix = lazy_matrix(potential, plan, OPTICS, batch=16)
    assert matrix.array.shape[1:] == plan.reduced_xy and matrix.window_gpts == plan.window_xy


def test_a_finer_grid_changes_the_brightness_of_heavy_and_light_atoms_little(monkeypatch):
    from atomnb.simulate import multislice_plan

    config = replace(QUICK, method="multislice", angles_mrad={"haadf": (60.0, 150.0)}, pixel_size=0.4)

    def brightness(symbol):
        return simulate_multislice(atom(symbol, cell=(5.0, 5.0, 3.0)), optics=OPTICS, config=config).images["haadf"]

    planned = {symbol: brightness(symbol).sum() for symbol in ("S", "W")}
    monkeypatch.setattr(multislice_plan, "SAMPLING", 0.03)
    for symbol, total in planned.items():
        assert total == pytest.approx(brightness(symbol).sum(), rel=0.04), symbol


def test_empty_space_along_the_beam_changes_nothing():
    thin = simulate_multislice(atom(), optics=OPTICS, config=QUICK).images["haadf"]
    tall = simulate_multislice(atom(cell=(SIDE, SIDE + 1, 60.0)), optics=OPTICS, config=QUICK).images["haadf"]
    assert np.allclose(thin, tall, atol=1e-6)


def test_thermal_motion_is_the_table_s_unless_said_otherwise():
    from atomnb.simulate.thermal import ROOM_TEMPERATURE

    default, table, none = (
        simulate_multislice(atom(), optics=OPTICS, config=replace(QUICK, phonons=2, thermal_angstrom=thermal))
        for thermal in (None, ROOM_TEMPERATURE, 0.0)
    )
    assert np.array_equal(default.images["haadf"], table.images["haadf"])
    assert not np.allclose(default.images["haadf"], none.images["haadf"], rtol=1e-3)


def test_thermal_motion_dims_the_peak():
    def peak(thermal):
        config = replace(QUICK, phonons=12, thermal_angstrom={"Si": thermal})
        return simulate_multislice(atom(), optics=OPTICS, config=config).images["haadf"].max()

    assert peak(0.3) < 0.9 * peak(0.01)


def test_a_cached_result_is_found_without_simulating(tmp_path, monkeypatch):
    first = simulate_multislice(atom(), optics=OPTICS, config=QUICK, cache=tmp_path)
    monkeypatch.setattr(multislice, "run_configuration", None)
    again = simulate_multislice(atom(), optics=OPTICS, config=QUICK, cache=tmp_path)
    assert np.array_equal(first.images["haadf"], again.images["haadf"])
    assert first.provenance["key"] == again.provenance["key"]
    blurred = replace(OPTICS, source_fwhm_angstrom=1.2)
    softer = simulate_multislice(atom(), optics=blurred, config=replace(QUICK, pixel_size=0.1), cache=tmp_path)
    assert softer.images["haadf"].shape == (80, 70)
    assert softer.images["haadf"].max() < 0.8 * first.images["haadf"].max()


def test_a_cancelled_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    config = replace(QUICK, phonons=3)
    whole = simulate_multislice(atom(), optics=OPTICS, config=config)

    def stop_in_the_second(fraction, message):
        if fraction > 0.5:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        simulate_multislice(atom(), optics=OPTICS, config=config, cache=tmp_path, progress=stop_in_the_second)
    assert not list(tmp_path.glob("*.npz"))
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    done = []
    original = multislice.run_configuration
    monkeypatch.setattr(multislice, "run_configuration", lambda *a: done.append(1) or original(*a))
    resumed = simulate_multislice(atom(), optics=OPTICS, config=config, cache=tmp_path)
    assert len(done) == 2
    assert np.allclose(resumed.images["haadf"], whole.images["haadf"], rtol=1e-5)


def test_the_seconds_of_a_run_are_those_of_all_its_sessions(tmp_path, monkeypatch):
    config, original, took = replace(QUICK, phonons=2), multislice.run_configuration, []

    def watched(*arguments):
        start = time.perf_counter()
        try:
            return original(*arguments)
        finally:
            took.append(time.perf_counter() - start)

    def stop_in_the_second(fraction, message):
        if fraction > 0.5:
            raise CancelledError("enough")

    monkeypatch.setattr(multislice, "run_configuration", watched)
    with pytest.raises(CancelledError):
        simulate_multislice(atom(), optics=OPTICS, config=config, cache=tmp_path, progress=stop_in_the_second)
    resumed = simulate_multislice(atom(), optics=OPTICS, config=config, cache=tmp_path)
    first, _cancelled, second = took
    assert resumed.provenance["seconds"] == pytest.approx(first + second, abs=0.01)
    again = simulate_multislice(atom(), optics=OPTICS, config=config, cache=tmp_path)
    assert again.provenance["seconds"] == resumed.provenance["seconds"]


def test_progress_rises_to_one():
    told = []
    simulate_multislice(atom(), optics=OPTICS, config=QUICK, progress=lambda f, m: told.append(f))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 4


def test_too_much_memory_is_refused_with_what_would_fit(monkeypatch):
    needed = estimate_multislice(atom(), optics=OPTICS, config=QUICK, timed=False).memory_bytes
    monkeypatch.setattr(multislice_estimate, "free_memory", lambda device: needed // 2)
    with pytest.raises(AtomnbError, match=r"GB are free.*fit: interpolation="):
        simulate_multislice(atom(), optics=OPTICS, config=QUICK)


def test_what_only_the_first_potential_of_a_process_takes_is_not_in_the_estimate(monkeypatch):
    built, original = [], multislice_estimate.build_potential

    def slow_at_first(*arguments):
        built.append(1)
        time.sleep(2.0 if len(built) == 1 else 0.0)
        return original(*arguments)

    monkeypatch.setattr(multislice_estimate, "build_potential", slow_at_first)
    estimate = estimate_multislice(atom(), optics=OPTICS, config=replace(QUICK, phonons=50))
    assert estimate.seconds < 50 * 2.0


def test_the_estimate_is_of_the_right_order():
    config = replace(QUICK, phonons=2)
    estimate = estimate_multislice(atom(cell=(14.0, 14.0, 10.0)), optics=OPTICS, config=config)
    start = time.perf_counter()
    simulate_multislice(atom(cell=(14.0, 14.0, 10.0)), optics=OPTICS, config=config)
    spent = time.perf_counter() - start
    assert estimate.fits and estimate.plan.n_beams > 0
    assert spent / 8 < estimate.seconds < 8 * spent


def test_many_structures_keep_their_order_and_share_the_cache(tmp_path):
    told = []
    atoms = [atom("C"), atom("Mo")]
    results = simulate_many(
        atoms, optics=OPTICS, config=QUICK, cache=tmp_path, progress=lambda f, m: told.append((f, m))
    )
    assert results[1].images["haadf"].sum() > 10 * results[0].images["haadf"].sum()
    assert len(list(tmp_path.glob("*.npz"))) == 2
    assert told[-1] == (1.0, "2 of 2 structures") and [f for f, _ in told] == sorted(f for f, _ in told)
    with pytest.raises(AtomnbError, match="one for each of 2"):
        simulate_many(atoms, optics=[OPTICS], config=QUICK)


@pytest.mark.slow
def test_processes_of_this_machine_give_the_same(tmp_path):
    told = []
    (result,) = simulate_many(
        [atom()], optics=OPTICS, config=QUICK, cache=tmp_path, scheduler="processes",
        progress=lambda f, m: told.append(f),
    )  # fmt: skip
    assert told == [1.0]
    assert np.allclose(result.images["haadf"], simulate_multislice(atom(), optics=OPTICS, config=QUICK).images["haadf"])
    with pytest.raises(AtomnbError, match="scheduler"):
        simulate_many([atom()], scheduler="threads")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    told = []
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        (result,) = simulate_many(
            [atom()], optics=OPTICS, config=QUICK, cache=tmp_path, client=client, progress=lambda f, m: told.append(f)
        )
    assert told == [1.0]
    assert np.allclose(result.images["haadf"], simulate_multislice(atom(), optics=OPTICS, config=QUICK).images["haadf"])


def test_an_image_becomes_a_micrograph_with_its_scale():
    result = simulate_multislice(atom(), optics=OPTICS, config=QUICK)
    micrograph = result.to_micrograph()
    assert isinstance(micrograph, Micrograph) and micrograph.pixel_size == 0.2
    assert np.array_equal(micrograph.data, result.images["haadf"])
    with pytest.raises(AtomnbError, match="abf"):
        result.to_micrograph("abf")


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (lambda: ase.Atoms(cell=(7, 7, 7), pbc=True), "no atoms"),
        (lambda: ase.Atoms("C", positions=[[1, 1, 1]]), "orthorhombic"),
        (lambda: ase.Atoms("C", positions=[[1, 1, 1]], cell=[7, 7, 7, 90, 90, 120], pbc=True), "orthorhombic"),
        (lambda: ase.Atoms("C", positions=[[np.nan, 1, 1]], cell=(7, 7, 7), pbc=True), "finite"),
    ],
)
def test_structures_that_cannot_be_used_are_named(broken, word):
    with pytest.raises(AtomnbError, match=word):
        simulate_multislice(broken(), optics=OPTICS, config=QUICK)


def test_an_element_without_displacement_is_named():
    with pytest.raises(AtomnbError, match="Si"):
        simulate_multislice(atom(), config=replace(QUICK, phonons=1, thermal_angstrom={"C": 0.1}))


def test_slices_of_a_sheet_keep_the_distance_of_its_planes():
    """What two atoms behind one another scatter depends on their distance: equal slices round it."""
    pair = ase.Atoms("S2", positions=[[3, 3, 0.5], [3, 3, 3.67]], cell=(SIDE, SIDE, 8.0), pbc=True)

    def total(slice_thickness):
        config = replace(QUICK, slice_thickness=slice_thickness, angles_mrad={"haadf": (60.0, 110.0)})
        return simulate_multislice(pair, optics=OPTICS, config=config).images["haadf"].sum()

    exact = 3.17 / 24  # the planes of both atoms fall on slices of this thickness
    assert total(None) == pytest.approx(total(exact), rel=0.05)
    assert abs(total(2.2) / total(exact) - 1) > 0.1


def test_planes_of_a_crystal_lie_inside_slices_not_between_them():
    z = np.arange(4) * 2.0
    crystal = ase.Atoms("Si4", positions=np.c_[np.ones(4), np.ones(4), z], cell=(SIDE, SIDE, 8.0), pbc=True)
    ready = prepared_atoms(crystal)
    assert ready.cell.lengths()[2] == pytest.approx(8.0)
    assert np.allclose(np.sort(ready.positions[:, 2]), z + 1.0)
