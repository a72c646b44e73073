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
#   title: One model for many lattices
# ---

# %% [markdown]
# # One model for many lattices
#
# A crystal repeats itself. A network that is trained on one crystal alone learns this repetition along with the atoms:
# it knows where the next atom must be. Is that knowledge a help or a danger? And what of a network that was trained on
# lattices of every symmetry, and on atoms without any lattice?
#
# Here you put both before the same images: `graphene-si`, which has seen nothing but graphene, and `universal`.

# %%
import os
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import atomnb
from atomnb.data.examples import sample_truth
from atomnb.errors import RangeWarning
from atomnb.locate.peaks import find_peaks
from atomnb.metrics import match_positions
from atomnb.scale import neighbour_distances
from atomnb.segment import predict_probability, to_image_size
from atomnb.simulate.class_schemes import SCHEMES
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.exposures import ExposureConfig, make_exposures
from atomnb.simulate.ideal import ideal_image
from atomnb.simulate.optics import Optics
from atomnb.simulate.structures import create_structure

quick = bool(os.environ.get("ATOMNB_QUICK"))

# %% [markdown]
# ## 1. The models
#
# `list_models` shows the card of each model that is there. Read what it is *not* for.

# %%
pd.DataFrame(
    [{"model": card.name, "for": card.summary, "classes": ", ".join(card.classes)} for card in atomnb.list_models()]
)

# %%
names = [card.name for card in atomnb.list_models()]
models = {name: atomnb.load_model(name) for name in names}
print(models["graphene-si"].card.not_for)

# %% [markdown]
# ## 2. Lattices of unlike symmetry
#
# Six crystals, each seen along one of its axes: honeycombs of one and of two kinds of atoms, a square with faint
# columns in between, pairs (*dumbbells*), a hexagonal and a centred square lattice. All atoms are known.

# %%
kinds = {
    "graphene": ("graphene-si", {}),
    "MoS2": ("mos2", {"v_x": 6}),
    "SrTiO3 [001]": ("srtio3-001", {"thickness_angstrom": 20.0}),
    "Si [110]": ("si-110", {"thickness_angstrom": 20.0}),
    "Au [111]": ("fcc-111", {"thickness_angstrom": 20.0}),
    "Fe [001]": ("bcc-001", {"thickness_angstrom": 20.0}),
}
optics = Optics(energy_ev=100e3, semiangle_mrad=30.0, source_fwhm_angstrom=0.7)
ideals = {}
for title, (name, options) in kinds.items():
    structure = create_structure(name, size_angstrom=(40, 40), options=options)
    pixels = convolution_image(structure, optics=optics)
    ideals[title] = ideal_image(pixels, structure, pixel_size=0.15, scheme=SCHEMES["columns"])

# %% [markdown]
# Each is exposed with many electrons (1000 per column) and with few (60).

# %%
exposure = ExposureConfig(
    shape=(200, 200), pixel_size=(0.16, 0.16), background=(0.05, 0.05), readout_noise=(0, 0), afterglow=(0, 0)
)
doses = (1000, 60)
frames = {
    (title, dose): next(make_exposures(ideal, 1, config=replace(exposure, dose=(dose, dose)), seed=3))
    for title, ideal in ideals.items()
    for dose in doses
}

# %% [markdown]
# The upper row is easy for the eye. In the lower one it must guess.

# %%
_, axes = plt.subplots(2, 6, figsize=(13, 4.7), layout="constrained")
for ax, title in zip(axes[0], kinds, strict=True):
    ax.set_title(title)
for row, dose in zip(axes, doses, strict=True):
    row[0].set_ylabel(f"{dose} electrons")
    for ax, title in zip(row, kinds, strict=True):
        pixels = frames[title, dose].image[:110, :110]
        ax.imshow(pixels, cmap="gray", vmin=np.percentile(pixels, 0.5), vmax=np.percentile(pixels, 99.5))
        ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## 3. Every model on every lattice
#
# We ask the networks alone, without the help that `atomnb.analyze` gives them. Each image is magnified so that
# neighbours are 7 px apart, as all the models like it. Atoms are the peaks of the probability. They are paired with the
# true ones, away from the border of the image. The score is F1: 1 if all atoms are found and nothing else.

# %%
middle, inner = 99.5, 94
spacing = {title: float(np.median(neighbour_distances(frames[title, 1000].positions_yx))) for title in kinds}
rows = []
for (title, dose), frame in frames.items():
    truth = frame.positions_yx[np.abs(frame.positions_yx - middle).max(axis=1) < inner]
    zoom = 7 / spacing[title]
    for name, model in models.items():
        probability = predict_probability(frame.image, model, zoom=zoom)[model.atom_classes].sum(axis=0)
        peaks = find_peaks(probability, calibration=model.card.calibration["lattice"])
        atoms = (peaks.positions_yx + 0.5) / zoom - 0.5
        atoms = atoms[np.abs(atoms - middle).max(axis=1) < inner]
        score = match_positions(atoms, truth, tolerance=0.3 * spacing[title]).f1
        rows.append({"dose": dose, "model": name, "lattice": title, "F1": score})
table = pd.DataFrame(rows).pivot_table(index=["dose", "model"], columns="lattice", values="F1")[list(kinds)]

# %% [markdown]
# Each row is a model, each column of the table a lattice. Green is good.

# %%
_, axes = plt.subplots(2, 1, figsize=(9, 1.6 + 1.1 * len(models)), layout="constrained")
for ax, dose in zip(axes, doses, strict=True):
    values = table.loc[dose].loc[names]
    ax.imshow(values, cmap="RdYlGn", vmin=-0.4, vmax=1.4, aspect="auto")
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center")
    ax.set(xticks=range(len(kinds)), xticklabels=kinds, yticks=range(len(names)), yticklabels=names)
    ax.set_title(f"F1 at {dose} electrons per column")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# The model of graphene does well on MoS2 and on the dumbbells of silicon: there, too, an atom has few neighbours close
# by. In SrTiO3 it misses the faint oxygen between the bright columns, since graphene has nothing like it. On gold and
# iron it is blind. Look down these two columns: `dumbbell` is as blind, `tmd` knows the square lattice of iron but not
# the close-packed one of gold, and `perovskite`, taught bright and faint sites at many distances, finds both.
#
# ## 4. Blind in full light
#
# Gold at 1000 electrons per column. A child could mark the atoms. The circles are the true ones; the maps show how
# probable the two models find an atom at each place.

# %%
title = "Au [111]"
frame = frames[title, 1000]
maps = [
    to_image_size(predict_probability(frame.image, models[name], zoom=7 / spacing[title]), frame.image.shape)
    for name in ("graphene-si", "universal")
]
_, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
axes[0].imshow(frame.image, cmap="gray", vmax=np.percentile(frame.image, 99.5))
for ax, probability in zip(axes[1:], maps, strict=True):
    ax.imshow(1 - probability[0], cmap="viridis", vmin=0, vmax=1)
for ax, label in zip(axes, ("image", "graphene-si", "universal"), strict=True):
    ax.scatter(*frame.positions_yx[:, ::-1].T, s=120, facecolors="none", edgecolors="tab:red", linewidths=0.7)
    ax.set(title=label, xlim=(0, 79), ylim=(79, 0), xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Wherever the model was shown a lattice, an atom had three neighbours at this distance and open rings around it. Six
# neighbours and no rings: it has never seen such a thing, and calls it background.
#
# ## 5. Another magnification
#
# Is it the lattice alone, or what the lattice looks like at that size? We magnify the same image more and less.

# %%
sizes = (5, 7, 10, 14) if quick else (4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20)
rows = []
for title in ("graphene", "Au [111]"):
    frame = frames[title, 1000]
    truth = frame.positions_yx[np.abs(frame.positions_yx - middle).max(axis=1) < inner]
    for size in sizes:
        zoom = size / spacing[title]
        for name in ("graphene-si", "universal"):
            probability = predict_probability(frame.image, models[name], zoom=zoom)
            peaks = find_peaks(1 - probability[0], calibration=models[name].card.calibration["lattice"])
            atoms = (peaks.positions_yx + 0.5) / zoom - 0.5
            atoms = atoms[np.abs(atoms - middle).max(axis=1) < inner]
            score = match_positions(atoms, truth, tolerance=0.3 * spacing[title]).f1
            rows.append({"size": size, "lattice": title, "model": name, "F1": score})
curves = pd.DataFrame(rows).pivot_table(index="size", columns=["lattice", "model"], values="F1")

# %% [markdown]
# Both models, on the lattice that one of them knows and on one that it does not.

# %%
_, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, title in zip(axes, ("graphene", "Au [111]"), strict=True):
    for name, marker in (("graphene-si", "s"), ("universal", "D")):
        ax.plot(curves.index, curves[title, name], marker=marker, label=name)
    ax.set(title=title, xlabel="distance between neighbours (px of the network)", ylim=(-0.03, 1.05))
axes[0].set_ylabel("F1")
axes[0].legend(frameon=False, loc="lower center")
plt.show()

# %% [markdown]
# The model of graphene finds gold after all, where gold's nearest neighbours are about as far apart as the *second*
# neighbours of graphene. What a network learnt is a pattern of a certain size.
#
# `atomnb.analyze` tries several magnifications and keeps the one at which the model is most certain. So it often saves
# a model that is used on a strange lattice, as long as there are electrons enough:

# %%
for name in ("graphene-si", "universal"):
    atoms = atomnb.analyze(frame.image, model=models[name], pixel_size=frame.pixel_size).atoms.positions_yx
    match = match_positions(atoms, frame.positions_yx, tolerance=0.3 * spacing["Au [111]"])
    print(f"{name:>11} with analyze: F1 {match.f1:.2f}, border and all")

# %% [markdown]
# ## 6. What narrowness is good for
#
# Now at home. On graphene we count the electrons down until both models fail.

# %%
steps = (15, 40, 200) if quick else (10, 15, 20, 30, 45, 60, 100, 200, 500)
rows = []
for dose in steps:
    dosed = replace(exposure, dose=(dose, dose))
    for frame in make_exposures(ideals["graphene"], 1 if quick else 4, config=dosed, seed=7):
        truth = frame.positions_yx[np.abs(frame.positions_yx - middle).max(axis=1) < inner]
        zoom = 7 / spacing["graphene"]
        for name in ("graphene-si", "universal"):
            probability = predict_probability(frame.image, models[name], zoom=zoom)
            peaks = find_peaks(1 - probability[0], calibration=models[name].card.calibration["lattice"])
            atoms = (peaks.positions_yx + 0.5) / zoom - 0.5
            atoms = atoms[np.abs(atoms - middle).max(axis=1) < inner]
            score = match_positions(atoms, truth, tolerance=0.3 * spacing["graphene"]).f1
            rows.append({"dose": dose, "model": name, "F1": score})
home = pd.DataFrame(rows).pivot_table(index="dose", columns="model", values="F1")

# %%
plt.figure(figsize=(6, 3.6))
for name, marker in (("graphene-si", "s"), ("universal", "D")):
    plt.plot(home.index, home[name], marker=marker, label=name)
plt.gca().set(title="graphene", xscale="log", xlabel="electrons per column", ylabel="F1", ylim=(0, 1.03))
plt.legend(frameon=False, loc="lower right")
plt.show()

# %% [markdown]
# Where electrons are missing, knowledge of the lattice stands in for them: at home the narrow model needs fewer. That
# is what it bought with its blindness.
#
# ## 7. What only the narrow model can do
#
# The universal model knows one class, *column*. The model of a material gives names. On its own material that is what
# you want; on another the names are false, and nothing in the table says so. At most `messages` does, when the model
# sees no lattice at all.

# %%
for name in ("graphene-si", "perovskite"):
    with warnings.catch_warnings(action="ignore", category=RangeWarning):
        analysis = atomnb.analyze(atomnb.sample_image(name), model="graphene-si", refine=False)
    counted = pd.Series(sample_truth(name).df["species"]).value_counts().to_dict()
    print(f"sample {name!r}: in truth {counted}, named {analysis.atoms.df['species'].value_counts().to_dict()}")
    print("".join(f"    told: {message}\n" for message in analysis.messages), end="")

# %% [markdown]
# ## What to take away
#
# - Begin with `universal`. It needs to know nothing of your material.
# - Take a model of your material when you need names, or when electrons are few, and only on that material.
# - A model that finds what you expect proves little if it can find nothing else. Try it on an image where it should
#   find something different.
#
# ## Your turn
#
# - Other lattices: `list(STRUCTURES)` from `atomnb.simulate.structures` names more than fifty.
# - A lattice with a defect that breaks its order: `create_structure("graphene-grain-boundary")`. Which model copes?
# - `python benchmarks/one_or_many.py` fills the table with multislice images and all models.
