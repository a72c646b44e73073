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
#   title: From an image to atoms
# ---

# %% [markdown]
# # From an image to atoms
#
# An electron microscope draws every column of atoms as a bright spot. In ten minutes you will turn such a picture
# into a table: where each column is, how sure we are of it, and how bright it is. The dashboard *Find atoms* does the
# same with buttons.
#
# The image here is simulated: graphene with a few silicon atoms in it. So we know where every atom really is, and can
# check the answer at the end.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

import atomnb
from atomnb.data.examples import sample_truth
from atomnb.locate.refine import nearest_distances
from atomnb.scale import estimate_scale
from atomnb.viz.overlay import show_atoms

# %% [markdown]
# ## 1. Open
#
# `sample_image` opens a sample; for your own file write `atomnb.read_image("my_file.dm3")`. What comes back knows the
# size of its pixels in Å (1 Å = 0.1 nm). Trust that number only after step 3.

# %%
image = atomnb.sample_image("graphene-si")
print(image)

# %% [markdown]
# ## 2. Look
#
# Always look before you compute. Bright spots are atoms, the grain between them is shot noise: only a few
# electrons were counted in each pixel. The six brightest spots are silicon.

# %%
pixels = image.frame()
plt.figure(figsize=(6, 6))
plt.imshow(pixels, cmap="gray", vmax=np.percentile(pixels, 99.7))
plt.axis("off")
plt.show()

# %% [markdown]
# ## 3. Check the scale
#
# A wrong pixel size is the most common reason for wrong results, and files are often off by 5 to 15 %. The lattice
# itself is a ruler: `estimate_scale` measures the distance between neighbours in the image. In graphene it must be
# close to 1.42 Å. The estimate is rough; step 7 will be exact.

# %%
scale = estimate_scale(pixels, pixel_size=image.pixel_size)
print(f"Neighbours are {scale.spacing_px:.1f} px = {scale.spacing_angstrom:.2f} Å apart.")

# %% [markdown]
# ## 4. Find the atoms
#
# One call runs the whole path: bring the image to the scale the neural network was trained at, compute for every
# pixel the probability of an atom, take the peaks, and fit each one to the image itself.

# %%
analysis = atomnb.analyze(image)
print(len(analysis.atoms), "atoms;", "warnings:", analysis.messages or "none")

# %% [markdown]
# What did the network see? `probability` holds one map per class: first the background, then the atomic columns.

# %%
corner = (slice(0, 140), slice(0, 200))
_, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.imshow(pixels[corner], cmap="gray", vmax=np.percentile(pixels, 99.7))
left.set_title("image")
shown = right.imshow(analysis.probability[1][corner], cmap="viridis", vmin=0, vmax=1)
right.set_title(f"probability of class {analysis.classes[1]!r}")
plt.colorbar(shown, ax=right, shrink=0.9)
plt.show()

# %% [markdown]
# ## 5. The table
#
# One row for each atom. `y` and `x` count pixels from the centre of the top-left one, `y_err` and `x_err` are standard
# errors (1σ), `score` is the probability that an atom is there, `flags` is 0 where there is nothing to remark. The
# first rows lie at the upper border and are flagged for it: `atomnb.Flag(9)` puts a number into words.
# `sublattice` numbers groups of atoms that look alike in brightness or surroundings. It does not name an element.

# %%
analysis.atoms.df.head()

# %% [markdown]
# The picture of the result, with the two groups in two colours. Look for atoms without a ring and rings without an
# atom.

# %%
_, axes = plt.subplots(figsize=(7, 7.5))
show_atoms(analysis, ax=axes)
plt.show()

# %% [markdown]
# ## 6. How sure are we?
#
# Noise moves every position a little. The fit says by how much, for each atom on its own: bright atoms are known
# better than faint ones. We leave out the atoms that the border of the image cuts.

# %%
at_border = analysis.atoms.df["flags"] & int(atomnb.Flag.BORDER) > 0
inner = analysis.atoms.select(~at_border)
error_pm = 100 * image.pixel_size * np.hypot(inner.df.y_err, inner.df.x_err) / np.sqrt(2)
plt.figure(figsize=(6, 3.5))
plt.scatter(inner.df.intensity, error_pm, s=8, color="tab:blue")
plt.xlabel("intensity (counts × px)")
plt.ylabel("error per axis (pm)")
plt.ylim(0, 2.5 * error_pm.median())
plt.show()

# %% [markdown]
# Is that true? Here we can ask, since the image was simulated. We pair each true atom with the one found nearest to
# it, and divide the distance along each axis by the stated error. If the errors are honest, about 68 % of these
# numbers lie between −1 and 1, and their histogram follows the blue curve.

# %%
truth = sample_truth("graphene-si")
distance, index = cKDTree(analysis.atoms.positions_yx).query(truth.positions_yx)
paired = distance * image.pixel_size < 0.5
print(f"{paired.sum()} of {len(truth)} true atoms were found.")

# %%
distance, index = cKDTree(truth.positions_yx).query(inner.positions_yx)
right = distance * image.pixel_size < 0.5
pulls = ((inner.positions_yx - truth.positions_yx[index]) / inner.errors_yx)[right].ravel()
inside = np.mean(np.abs(pulls) < 1)

plt.figure(figsize=(6, 3.5))
plt.hist(pulls, bins=np.linspace(-4, 4, 33), density=True, color="0.75")
grid = np.linspace(-4, 4, 200)
plt.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="tab:blue")
plt.xlabel("(found − true) / stated error")
plt.title(f"{inside:.0%} within one standard error; {np.sum(~right)} of {len(inner)} rows are no atoms")
plt.show()

# %% [markdown]
# ## 7. Distances and intensities
#
# The distance of each atom to its nearest neighbour, away from the border of the image. In perfect graphene all are
# 1.42 Å; missing atoms, silicon and noise widen the peak. The nearest of three neighbours is always a little closer
# than their mean: that is why the peak lies somewhat below 1.42 Å.

# %%
nearest = nearest_distances(analysis.atoms.in_angstrom())[~at_border]
plt.figure(figsize=(6, 3.5))
plt.hist(nearest, bins=np.arange(1.2, 1.6, 0.01), color="tab:blue")
plt.axvline(1.42, color="0.3", linestyle=":")
plt.xlabel("distance to the nearest atom (Å)")
plt.ylabel("atoms")
plt.show()

# %% [markdown]
# The intensity of a column grows with the charge of its nuclei. Silicon (Z = 14) stands far to the right of carbon
# (Z = 6).

# %%
plt.figure(figsize=(6, 3.5))
plt.hist(inner.df.intensity, bins=60, color="tab:blue", log=True)
plt.xlabel("intensity (counts × px)")
plt.ylabel("atoms")
plt.show()

# %%
bright = inner.df[inner.df.intensity > 2.5 * inner.df.intensity.median()]
print(f"{len(bright)} bright atoms; {(truth.df['species'] == 'Si').sum()} silicon atoms were put into the image.")

# %% [markdown]
# ## 8. Save
#
# `save` writes a folder: the table as csv, the overlay, the probability map as tif, and everything needed to repeat
# the analysis (versions, settings, model). The table alone can also go to `.xyz` for ASE and OVITO.

# %%
folder = analysis.save("graphene_result")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Your turn
#
# - Open your own image: `atomnb.read_image("file.dm3")`, or `atomnb.list_samples()` for more samples.
# - No scale in the file? Pass `pixel_size=` in Å.
# - Too many or too few atoms? Change `threshold=` in `analyze` (0.5 unless you say otherwise).
