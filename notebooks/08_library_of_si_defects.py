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
#   title: A library of silicon defects in graphene
# ---

# %% [markdown]
# # A library of silicon defects in graphene
#
# Silicon atoms wander through graphene under the beam and settle in defects of many forms. In one frame there are a
# few. The knowledge lies in many frames: which forms occur, how often, and what each looks like on average.
#
# Here you will collect defects from frame after frame in a file, the *library*, search it, average what belongs
# together, and compare it with a calculated structure.
#
# The frames are simulated. If you have the published ones (arXiv:1809.04256), set `ATOMNB_DATA` to the folder that
# holds `stem/graphene_si_library`; section 7 then compares with the labels of the authors.

# %%
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import atomnb
from atomnb.graph.averages import average_class
from atomnb.graph.cutout import records_from
from atomnb.graph.export import write_structure
from atomnb.graph.library import DefectLibrary
from atomnb.graph.librarynet import read_librarynet, write_librarynet
from atomnb.graph.reference import compare_structure
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.structures import create_structure

quick = bool(os.environ.get("ATOMNB_QUICK"))

# %% [markdown]
# ## 1. Frames
#
# Each frame is a sheet of graphene with single silicon atoms, three-fold and four-fold, and a pair of them, somewhere
# and turned somehow. About 1000 electrons are counted per column.

# %%
pixel = 0.12
frames = []
for seed in range(2 if quick else 8):
    defects = {"three_fold": 3, "four_fold": 2, "dimers": 1, "dimer": "Si2C5"}
    sheet = create_structure("graphene-si", size_angstrom=(45, 45), seed=seed, options=defects)
    clean = convolution_image(sheet, pixel_size=pixel)
    counts = np.random.default_rng(seed).poisson(clean / clean.sum() * 1000 * len(sheet.columns().content) + 0.05)
    frames.append(counts.astype(np.float32))

plt.figure(figsize=(5, 5))
plt.imshow(frames[0], cmap="gray", vmax=np.percentile(frames[0], 99.7))
plt.axis("off")
plt.show()

# %% [markdown]
# ## 2. Collect
#
# `analyze` with `rules` finds atoms, bonds and defects. `records_from` cuts each defect out: its part of the image, the
# atoms there with their errors, the bonds, and all names. `add` puts them into the library.
#
# Defects that the border of the frame cuts are left out: they would count as others than they are. Adding is safe:
# the file is replaced by a whole new one or not at all, even if the computer stops in between.

# %%
Path("si_defects.h5").unlink(missing_ok=True)
library = DefectLibrary("si_defects.h5")
for frame in frames:
    analysis = atomnb.analyze(frame, pixel_size=pixel, model="graphene-si", rules="graphene")
    records = records_from(analysis, least_confidence=0.5)
    library.add(record for record in records if record.metadata["complete"])
print(library)

# %%
table = library.table()
table.groupby(["formula", "name", "topology"]).size().rename("number").reset_index()

# %% [markdown]
# A formula counts the silicon and the carbon bonded to it. The topology is a fingerprint of bonds and rings: two
# defects of one formula may differ in it, while copies that are turned, mirrored or distorted share it. Defects nobody
# listed are called *unseen*. Give one a name, and all of its topology bear it, also those you add later:

# %%
unseen = table[table["name"].str.startswith("unseen")]
if len(unseen):
    library.rename(unseen["topology"].iloc[0], "my first pair")
print(library.table()["name"].value_counts().to_string())

# %% [markdown]
# ## 3. Look
#
# One of each kind, with its bonds. `library[number]` reads a single record; the rest stays on the disk.

# %%
kinds = library.table().drop_duplicates("topology").index[:4]
_, axes = plt.subplots(1, len(kinds), figsize=(3.4 * len(kinds), 3.6), layout="constrained", squeeze=False)
for ax, number in zip(axes[0], kinds, strict=True):
    record = library[number]
    ax.imshow(record.patch, cmap="gray", vmax=np.percentile(record.patch, 99.8))
    for pair in record.core_pairs():
        ax.plot(*record.positions_px[pair][:, ::-1].T, color="tab:orange", lw=1.5)
    ax.set_title(f"{record.formula}: {record.name}", fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## 4. Search
#
# By formula, by the first digits of a topology, by name, or by geometry: `nearest` finds the defects whose bond lengths
# and angles differ least from those of a given one. The distance is in Å.

# %%
silicon = library.find(formula="Si1C3")
print(f"{len(silicon)} defects Si1C3")
library.nearest(library[silicon[0]], k=4, same_formula=False)

# %% [markdown]
# ## 5. Average
#
# `average_class` turns all defects of a kind to match, by their atoms, and averages pictures and positions. Three-fold
# silicon looks the same from both sides, so mirror images may be joined.

# %%
members = [library[number] for number in silicon]
average = average_class(members, mirror=True)

_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
axes[0].imshow(members[0].patch, cmap="gray")
axes[0].set_title("one")
axes[1].imshow(average.image, cmap="gray")
error = axes[2].imshow(average.image_err, cmap="viridis")
axes[1].plot(*(average.positions_yx / average.pixel_size)[:, ::-1].T, "+", color="tab:orange")
axes[1].set(title=f"mean of {len(average.used)}", xlim=axes[2].get_xlim(), ylim=axes[2].get_ylim())
axes[2].set_title("standard error of the mean")
plt.colorbar(error, ax=axes[2], shrink=0.8)
for ax in axes:
    ax.axis("off")
plt.show()

# %% [markdown]
# The bonds of the mean. `spread` is how much single defects differ, `error` that of the mean: √n times smaller. With
# some hundred defects it falls below a picometre.

# %%
bonds = average.bonds.assign(kind=["–".join(sorted(average.species[k] for k in pair)) for pair in average.pairs])
bonds[bonds["kind"].str.contains("Si")].round(4)

# %% [markdown]
# ## 6. Against a calculation
#
# The structure may come from a file (`.cif`, `.xyz`) or as `ase.Atoms`; here it is the sheet that we simulated, with
# all its atoms. `compare_structure` finds where in it the measured atoms fit best, whatever the order, turn or mirror
# image. Differences are given in standard errors (*sigmas*).
#
# First one defect alone. Its errors come from the noise of its frame.

# %%
sheet = create_structure("graphene-si", size_angstrom=(30, 30), seed=0, options={"three_fold": 1})
one = compare_structure(members[0], sheet.atoms)
print(f"{len(one.atoms)} atoms correspond; bonds differ by {one.rms_sigmas:.1f} sigmas (rms).")
one.bonds[one.bonds["species"].str.contains("Si")].round(3)

# %% [markdown]
# Three-fold silicon stands out of the plane, so its bonds are longer than they look from above. `reference` is seen
# from above, too.
#
# Now the mean. Its errors are smaller, and so smaller differences show: those of nature, and those of the method. Here,
# where the truth is known, only the method's can be there, and they should lie within two or three *sigmas*; the more
# frames, the surer is the error itself. (Three defects, as in a quick run, are too few to tell.)

# %%
shape = (average.positions_yx, average.species)
mean = compare_structure(shape, sheet.atoms, errors_yx=average.errors_yx, pairs=average.pairs)
print(f"strain of the whole: ({100 * mean.strain['eps_xx']:+.2f} ± {100 * mean.strain['eps_xx_err']:.2f}) % along x")
mean.bonds[mean.bonds["species"].str.contains("Si")].round(4)

# %% [markdown]
# ## 7. The published frames
#
# If their folder is there: what the authors named each frame, against what is found in it now. The labels count the
# silicon atoms and their carbon neighbours.

# %%
folder = Path(os.environ.get("ATOMNB_DATA", "")) / "stem" / "graphene_si_library"
published = [] if quick else sorted(folder.glob("*.hdf5"))[::6]
right = 0
for path in published:
    label = next(iter(read_librarynet(path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", atomnb.errors.AtomnbWarning)
        found = atomnb.analyze(atomnb.read_image(path), model="graphene-si", rules="graphene")
    place = np.mean(label.positions_px, axis=0)
    distance = np.hypot(found.defects["y"] - place[0], found.defects["x"] - place[1]) * label.pixel_size
    here = found.defects[distance < 2.5]
    right += label.formula in set(here["formula"])
if published:
    print(f"{right} of {len(published)} published defects found at their place with their formula.")

# %% [markdown]
# ## 8. Give it away
#
# A defect as a structure file, to start a calculation from or to look at in OVITO; and the records in the layout of the
# published library, for programs that read that.

# %%
write_structure(members[0], "three_fold_silicon.xyz")
files = write_librarynet(members[:3], "for_librarynet")
[str(path) for path in files]

# %% [markdown]
# ## What to take away
#
# - A library keeps what single frames forget. It grows safely, over days and from several programs at once.
# - Topology tells apart what formulas do not, and your names stick to it.
# - One defect tells a bond within some picometres, a class average far better.
#
# ## Your turn
#
# - Your own frames in step 2; the library can be opened again next week with `DefectLibrary("si_defects.h5")`.
# - Average the four-fold silicon. Is it more symmetric than the three-fold one?
# - `least_confidence=0`: what are the doubtful defects?
