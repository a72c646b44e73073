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
#   title: Why an FCN and not CAM
# ---

# %% [markdown]
# # Why an FCN and not CAM
#
# atomnb finds atoms with a *fully convolutional network* (FCN): it gives every pixel a class, and it was trained with
# labels for every pixel. Such labels cost nothing in a simulation, but by hand nobody could draw them.
#
# There is a cheaper way. Tell a network only *what* is in an image ("a vacancy"), never where, and ask it afterwards
# which part of the image made it say so. That picture is a *class-activation map* (CAM). Here you train such a
# network, measure in Å how well its maps point at defects, and put it beside the FCN.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import atomnb
from atomnb.metrics import match_positions
from atomnb.nets.cam import class_activation_map, classify, locate_activation
from atomnb.said import gathered_warnings
from atomnb.train.cam import CLASSES, PIXEL_SIZE, sample_patch, train_classifier

# %% [markdown]
# ## 1. One label for each image
#
# The material is a sheet of MoS2, WS2 or WSe2. In a patch of 12.8 Å there is one defect or none. The classes:
#
# - `V_X`: one chalcogen of a pair is missing; `V_X2`: both; `V_M`: a metal atom is missing
# - `M_X2`: a metal atom in place of a chalcogen pair
# - `substitution`: W in a Mo sheet, or Mo in a W sheet
#
# The ring marks the defect for you. The classifier will never be shown it.

# %%
rng = np.random.default_rng(1)
_, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for label, ax in enumerate(axes.flat):
    patch = sample_patch(label, rng=rng, electrons_per_column=5000)
    ax.imshow(patch.image, cmap="gray")
    ax.plot(*patch.defect_yx[::-1], "o", ms=20, mfc="none", mec="tab:green", mew=2)
    ax.set_title(CLASSES[label])
    ax.axis("off")
plt.show()

# %% [markdown]
# ## 2. Train
#
# Three convolutions, then the mean of each of 256 features over the image, then one weight for each feature and
# class: the published baseline. Training begins with small patches, of which the defect is most, and lets them grow: in
# a mean over 64 × 64 px one column is little. 2400 steps take a few minutes on one core. In quick mode
# (`ATOMNB_QUICK=1`, for tests) there are only 30, and the maps below mean little.

# %%
steps = 30 if os.environ.get("ATOMNB_QUICK") else 2400
trained = train_classifier(steps=steps)
print(f"loss after {steps} steps: {trained.history[-1]['loss']:.2f}; of a guess: {np.log(len(CLASSES)):.2f}")

# %% [markdown]
# Does it tell the classes apart? We ask it about new patches, at 3000 electrons per column. A guess would be right
# in one of six.

# %%
rng = np.random.default_rng(2)
patches = [sample_patch(k % len(CLASSES), rng=rng, electrons_per_column=3000) for k in range(60)]
truth = np.array([patch.label for patch in patches])
said = classify(trained.net, np.stack([patch.image for patch in patches])).argmax(axis=1)
print(f"class right: {np.mean(said == truth):.0%}")

# %% [markdown]
# ## 3. Ask where
#
# The score of a class is a mean over the image. So each place has its share in it, and the map of these shares is the
# class-activation map. The network halved the image twice: the map has only 16 × 16 cells of 0.8 Å, enlarged here.

# %%
chosen = [patches[k] for k in (1, 2, 4)]
_, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for patch, (above, below) in zip(chosen, axes.T, strict=True):
    activation = class_activation_map(trained.net, patch.image)[patch.label]
    above.imshow(patch.image, cmap="gray")
    above.set_title(CLASSES[patch.label])
    below.imshow(activation, cmap="magma")
    below.plot(*locate_activation(activation)[::-1], "c+", ms=14, mew=2)
    for ax in (above, below):
        ax.plot(*patch.defect_yx[::-1], "o", ms=20, mfc="none", mec="tab:green", mew=2)
        ax.axis("off")
plt.show()

# %% [markdown]
# ## 4. How far off is it?
#
# We take the peak of the map of the class that the network named, and measure its distance to the true defect. The
# dotted line is half a bond: beyond it, the peak points at another atom.

# %%
planted = [(patch, label) for patch, label in zip(patches, said, strict=True) if patch.label > 0 and label > 0]
maps = [class_activation_map(trained.net, patch.image)[label] for patch, label in planted]
error_cam = [
    PIXEL_SIZE * np.hypot(*(locate_activation(activation) - patch.defect_yx))
    for activation, (patch, _) in zip(maps, planted, strict=True)
]
plt.figure(figsize=(6, 3.5))
plt.hist(error_cam, bins=np.arange(0, 8, 0.25), color="tab:purple")
plt.axvline(0.93, color="0.3", linestyle=":")
plt.xlabel("distance from the defect (Å)")
plt.ylabel("patches")
plt.show()

# %% [markdown]
# ## 5. The FCN on the same patches
#
# The model `tmd` was trained with a label for each pixel: metal, chalcogen pair, single chalcogen, vacancy. It gets
# the very same patches, although it was trained on other scenes.

# %%
model = atomnb.load_model("tmd")
with gathered_warnings():  # their metals are as bright as chance will, some as in MoSe2
    found = [atomnb.analyze(patch.image, model=model, pixel_size=PIXEL_SIZE) for patch in patches]

# %% [markdown]
# One patch with all that was found: every column with its name, not the defect alone. The defect is the column whose
# name does not fit its place.

# %%
patch, analysis = patches[1], found[1]
plt.figure(figsize=(5.5, 5.5))
plt.imshow(patch.image, cmap="gray")
for name, columns in analysis.atoms.df.groupby("species"):
    plt.scatter(columns.x, columns.y, s=90, facecolors="none", edgecolors=f"C{model.classes.index(name)}", label=name)
plt.plot(*patch.defect_yx[::-1], "s", ms=24, mfc="none", mec="tab:green", mew=2, label="the defect planted")
plt.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=0.6)
plt.axis("off")
plt.show()

# %% [markdown]
# How far are these columns from the true ones? We pair them, within 0.3 bonds.

# %%
pairs = [
    match_positions(a.atoms.positions_yx, patch.positions_yx, tolerance=0.3 * 1.85 / PIXEL_SIZE)
    for a, patch in zip(found, patches, strict=True)
]
error_fcn = PIXEL_SIZE * np.concatenate([np.hypot(*pair.residuals_yx.T) for pair in pairs])
atoms_found = sum(len(pair.pairs) for pair in pairs) / sum(pair.n_true for pair in pairs)
print(f"FCN: {atoms_found:.1%} of all columns, half of them within {np.median(error_fcn):.3f} Å")
if error_cam:
    print(f"CAM: one place in a patch, half of them within {np.median(error_cam):.2f} Å")

# %% [markdown]
# The two errors side by side. The axis is logarithmic: each step is a factor of ten.

# %%
bins = np.geomspace(0.001, 10, 41)
plt.figure(figsize=(6, 3.5))
plt.hist(error_fcn, bins=bins, weights=np.full(len(error_fcn), 1 / len(error_fcn)), label="FCN, columns")
if error_cam:
    plt.hist(error_cam, bins=bins, weights=np.full(len(error_cam), 1 / len(error_cam)), alpha=0.7, label="CAM, defects")
plt.xscale("log")
plt.xlabel("distance from the truth (Å)")
plt.ylabel("share")
plt.legend()
plt.show()

# %% [markdown]
# ## What to take away
#
# - A CAM needs only one word per image. It finds where *some* of its evidence lies, and that can be a neighbour, one
#   side of the defect, or the change in the mean of the whole patch.
# - It says nothing of the perfect lattice: no atom positions, no strain, no graph of bonds.
# - It knows one defect at a time, of a class it was trained on. With the positions and names of *all* columns, defects
#   that were in no training set can be named by the rules of chemistry.
#
# So labels for every pixel are worth their price, above all where a simulation gives them away.
#
# ## Your turn
#
# - Lower `electrons_per_column` to 300. Which of the two fails first, and at what?
# - Plant two defects: what does a classifier with one answer per image say?
# - `python benchmarks/cam_vs_fcn.py` measures all this with more patches and with multislice images.
