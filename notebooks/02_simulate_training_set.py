# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: title
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   title: Simulating a training set
# ---

# %% [markdown]
# # Simulating a training set
#
# A network learns from examples: images in which every column of atoms is marked. Nobody can mark a hundred thousand
# columns by hand, and nobody needs to. In a simulation we put the atoms there ourselves, so every label is known and
# exact.
#
# Here you walk the whole way once: atoms, microscope, electrons, labels, a file to train on. The material is a sheet of
# MoS2 in which some sulfur is missing. The dashboard *Simulate* does the same with buttons.

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from atomnb.data.labelled_set import open_labelled_set
from atomnb.data.labelled_writer import write_labelled_set
from atomnb.simulate.class_schemes import scheme_by_content
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.exposures import ExposureConfig, make_exposures
from atomnb.simulate.ideal import ideal_image
from atomnb.simulate.multislice import MultisliceConfig, estimate_multislice, simulate_multislice
from atomnb.simulate.optics import Optics, OpticsRanges, sample_optics
from atomnb.simulate.probe import probe_image
from atomnb.simulate.structures import STRUCTURES, create_structure
from atomnb.train.from_set import CropConfig, stream_set_batches
from atomnb.viz.samples import class_colour, show_samples

quick = bool(os.environ.get("ATOMNB_QUICK"))

# %% [markdown]
# ## 1. Atoms
#
# `create_structure` builds a crystal by name. `options` puts defects in: here six single sulfur vacancies (`v_x`) and
# two sites where both sulfur atoms are missing (`v_x2`). `seed` decides where they are; the same seed gives the same
# atoms.

# %%
print(", ".join(STRUCTURES))

# %%
structure = create_structure("mos2", size_angstrom=(40, 40), seed=3, options={"v_x": 6, "v_x2": 2})
print(structure.atoms)
print([defect.name for defect in structure.defects])

# %% [markdown]
# The beam looks along z. Atoms that stand behind one another make one *column*, and a column is what we see as a spot.
# Its content tells how bright the spot will be: `S2` is two sulfur atoms, `S` a single one.

# %%
columns = structure.columns()
plt.figure(figsize=(6.2, 6))
for content, colour in (("Mo", "tab:blue"), ("S2", "tab:orange"), ("S", "tab:red")):
    y, x = columns.positions_yx[columns.content == content].T
    plt.scatter(x, y, s=60 if content == "Mo" else 30, color=colour, label=f"{content} ({len(x)})")
gone = np.array([defect.yx_angstrom for defect in structure.defects if defect.name == "V_S2"])
plt.scatter(gone[:, 1], gone[:, 0], s=110, marker="s", facecolors="none", edgecolors="k", label=f"none ({len(gone)})")
plt.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.gca().set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")
plt.gca().invert_yaxis()
plt.show()

# %% [markdown]
# ## 2. The microscope
#
# An electron probe scans the sheet. How fine it is depends on the energy, on the angle of the lens and on how well it
# is corrected. Every spot in the image is this probe, drawn once for each column.

# %%
optics = Optics(energy_ev=80e3, semiangle_mrad=30.0, source_fwhm_angstrom=0.8)
astigmatic = Optics(energy_ev=80e3, semiangle_mrad=30.0, source_fwhm_angstrom=0.8, aberrations={"C12": 40.0})

# %%
_, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for ax, lens, title in zip(axes, (optics, astigmatic), ("corrected", "astigmatic"), strict=True):
    ax.imshow(probe_image(lens, shape=(81, 81), pixel_size=0.1), cmap="magma", extent=(-4, 4, 4, -4))
    ax.set(title=title, xlabel="Å")
plt.show()

# %% [markdown]
# ## 3. The instant image
#
# For a thin sheet and a dark-field detector, the image is simple: each atom scatters by itself, with a strength that
# grows about as Z<sup>1.7</sup>, and the probe blurs the result. That takes a fraction of a second. The image has no
# noise: it is the share of the beam that would reach the detector.

# %%
image = convolution_image(structure, optics=optics, pixel_size=0.1)
plt.figure(figsize=(6.4, 5.6))
plt.imshow(1000 * image, cmap="gray", extent=(0, 0.1 * image.shape[1], 0.1 * image.shape[0], 0))
plt.colorbar(label="share of the beam (‰)", shrink=0.85)
plt.gca().set(xlabel="x (Å)", ylabel="y (Å)")
plt.show()

# %% [markdown]
# ## 4. Is it right?
#
# *Multislice* is the full physics: the electron wave goes through the atoms slice by slice, and the atoms vibrate. It
# is thousands of times slower, so we ask first what it will take, for a small piece with one vacancy.

# %%
piece = create_structure("mos2", size_angstrom=(8, 12), seed=1, options={"v_x": 1})
settings = MultisliceConfig(detectors=("haadf",), phonons=0 if quick else 8, pixel_size=0.1)
plan = estimate_multislice(piece, optics=optics, config=settings)
print(f"about {plan.seconds:.0f} s and {plan.memory_bytes / 1e6:.0f} MB")

# %% [markdown]
# Now we run it. `cache` names a folder where results are kept: the same question again costs nothing, and a run that
# was stopped goes on where it was.

# %%
exact = simulate_multislice(piece, optics=optics, config=settings, cache="multislice").images["haadf"]
instant = convolution_image(piece, optics=optics, pixel_size=0.1)
_, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, pixels, title in zip(axes, (exact, instant), ("multislice", "instant"), strict=True):
    shown = ax.imshow(1000 * pixels, cmap="gray", vmin=0, vmax=1000 * exact.max())
    ax.set(title=title, xticks=[], yticks=[])
plt.colorbar(shown, ax=axes, label="share of the beam (‰)")
plt.show()

# %% [markdown]
# A line from top to bottom through the vacancy shows more than the two pictures do. The high peaks are molybdenum, the
# low ones pairs of sulfur, and the lowest is the single sulfur atom that is left.

# %%
column = round(piece.defects[0].yx_angstrom[1] / 0.1)
plt.figure(figsize=(7, 3.2))
plt.plot(0.1 * np.arange(len(exact)), 1000 * exact[:, column], color="k", label="multislice")
plt.plot(0.1 * np.arange(len(instant)), 1000 * instant[:, column], color="tab:orange", linestyle="--", label="instant")
plt.gca().set(xlabel="y (Å)", ylabel="share of the beam (‰)", ylim=(0, 1250 * exact.max()))
plt.legend(frameon=False, loc="upper right", ncols=2)
plt.show()

# %% [markdown]
# For sheets the two agree closely. In a crystal of many nanometres the atoms above act as lenses for those below
# (*channelling*), and in bright-field images waves interfere: there only multislice is right.
#
# ## 5. Electrons
#
# A real image is counted, electron by electron. *Dose* is how many of them arrive, here per column. The same sheet at
# four doses:

# %%
scheme = scheme_by_content(columns.content, vacancies=True)
ideal = ideal_image(image, structure, pixel_size=0.1, scheme=scheme)
doses = (30, 100, 1000, 10000)
calm = ExposureConfig(shape=(160, 160), pixel_size=(0.16, 0.16), rotation_rad=(0.2, 0.2), readout_noise=(0, 0))

# %%
_, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, dose in zip(axes, doses, strict=True):
    scene = next(make_exposures(ideal, 1, config=replace(calm, dose=(dose, dose)), seed=5))
    ax.imshow(scene.image, cmap="gray", vmax=np.percentile(scene.image, 99.7))
    ax.set(title=f"{dose:,} electrons", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## 6. What the scan does to it
#
# The probe visits the pixels one after the other, and meanwhile things move: the sample drifts, rows jump, the beam
# still swings at the start of each row, the detector glows on. Here each of these is far stronger than usual. The
# dots are the labels: they move with the image, so they stay exact.

# %%
still = replace(calm, dose=(3000, 3000), row_jitter_px=(0, 0), drift_px=(0, 0), flyback_px=(0, 0), afterglow=(0, 0))
wrong = {
    "nothing": still,
    "drift": replace(still, drift_px=(40, 40)),
    "jumping rows": replace(still, row_jitter_px=(1.2, 1.2)),
    "fly-back": replace(still, flyback_px=(14, 14), flyback_decay_px=(25, 25)),
    "afterglow": replace(still, afterglow=(0.45, 0.45)),
}
_, axes = plt.subplots(1, 5, figsize=(13, 3), layout="constrained")
for ax, (title, config) in zip(axes, wrong.items(), strict=True):
    scene = next(make_exposures(ideal, 1, config=config, seed=5))
    ax.imshow(scene.image, cmap="gray", vmax=np.percentile(scene.image, 99.7))
    ax.scatter(*scene.positions_yx[:, ::-1].T, s=5, color="tab:red")
    ax.set(title=title, xlim=(0, 100), ylim=(100, 0), xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## 7. Labels
#
# What should the network tell apart? That is your choice, and it is written down as a *class scheme*. We chose a class
# for each content of a column, and one for sites where nothing is left. The *class map* has the size of the image and
# holds the class of every pixel: this is what the network will have to draw.

# %%
scene = next(make_exposures(ideal, 1, config=replace(calm, dose=(1000, 1000)), seed=6))
show_samples([scene], classes=scheme.classes, n=1)

# %% [markdown]
# ## 8. Many of them
#
# A network that has seen one sheet through one microscope knows just that. So we draw many: other defects in other
# places, another microscope for each structure, and for each image another dose, pixel size, rotation and scan.

# %%
rng = np.random.default_rng(0)
microscopes = OpticsRanges(energy_ev=(60e3, 80e3), source_fwhm_angstrom=(0.6, 1.2))
varied = ExposureConfig(shape=(192, 192), pixel_size=(0.12, 0.25), dose=(60, 10000))
n_structures, n_exposures = (6, 3) if quick else (20, 10)

# %%
ideals = []
for seed in range(n_structures):
    sheet = create_structure("mos2", size_angstrom=(40, 40), seed=seed, options={"v_x": 10, "v_x2": 4})
    pixels = convolution_image(sheet, optics=sample_optics(rng, microscopes), pixel_size=0.1)
    ideals.append(ideal_image(pixels, sheet, pixel_size=0.1, scheme=scheme))
print(f"{len(ideals)} structures, {sum(each.n_columns for each in ideals):,} columns")

# %% [markdown]
# The images go straight to a file, one at a time, so a set may be larger than the memory. It is plain HDF5: other
# programs can read it too.

# %%
scenes = (scene for each in ideals for scene in make_exposures(each, n_exposures, config=varied, seed=1))
path = write_labelled_set("mos2_set.h5", scenes, classes=scheme.classes, provenance={"exposures": varied.to_dict()})
labelled = open_labelled_set(path)
print(labelled, f"{path.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## 9. Look at it
#
# Never train on a set you have not looked at. Are the labels on the spots? Are there images in which nobody could see
# anything?

# %%
show_samples(labelled, classes=labelled.classes, n=3, seed=2)

# %% [markdown]
# Count the classes too. Defects are rare, as in nature. A class with a handful of examples will not be learnt.

# %%
codes = np.concatenate([scene.column_class for scene in labelled])
counts = [int(np.sum(codes == code)) for code in range(1, len(labelled.classes) + 1)]
colours = [class_colour(code) for code in range(1, len(labelled.classes) + 1)]
plt.figure(figsize=(6, 3.2))
plt.bar_label(plt.bar(labelled.classes, counts, color=colours), fmt="{:,.0f}")
plt.yscale("log")
plt.ylim(1, 5 * max(counts))
plt.ylabel("columns in the set")
plt.show()

# %% [markdown]
# ## 10. Set some aside
#
# A network must be judged on what it has not seen. Two images of *one* sheet show the same defects, so a fair split
# parts structures, not images. `split` does that.

# %%
for part in ("train", "validation", "test"):
    scenes = labelled.split(part)
    print(f"{part:>10}: {len(scenes):3} images of {len(set(scenes.groups)):2} structures")

# %% [markdown]
# Last, what a training step takes from the set: random crops, brought to the pixel size the network works at, mirrored
# by chance, and with *soft* labels. Each label is a small hill at the exact position, finer than a pixel.

# %%
batch = next(stream_set_batches(labelled.split("train"), CropConfig(size=64), batch_size=4, seed=0, workers=0))
_, axes = plt.subplots(2, 4, figsize=(10, 5.2), layout="constrained")
for (above, below), crop, label in zip(axes.T, batch.images, batch.labels, strict=True):
    above.imshow(crop, cmap="gray")
    below.imshow(label.sum(dim=0), cmap="viridis", vmin=0, vmax=1)
    for ax in (above, below):
        ax.axis("off")
plt.show()

# %% [markdown]
# ## Your turn
#
# - Another material: choose one from the list of step 1; `STRUCTURES["si-110"].options` shows what can be set.
# - Another choice of classes: `scheme_by_element`, `scheme_by_defect`, or your own `ClassScheme`.
# - Replace `convolution_image` by `simulate_multislice` in step 8, and leave it running over night.
# - The next notebook, *Training and judging a model*, needs such images.
