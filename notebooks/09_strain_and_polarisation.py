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
#   title: Strain and polarisation
# ---

# %% [markdown]
# # Strain and polarisation
#
# Once the columns of a crystal are known to a few picometres, one can ask how far it is stretched, sheared or turned at
# every atom, and in a ferroelectric which way it is polarised. Both are small numbers from large ones. So each comes
# with a standard error, and here you will check that the errors are true.
#
# All images are simulated, with known answers. Put your own in their place at the end.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

import atomnb
from atomnb.order.polarization import measure_polarization
from atomnb.order.strain import measure_strain
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.render import render_columns
from atomnb.simulate.structures import create_structure
from atomnb.viz.fields import show_polarization, show_strain

quick = bool(os.environ.get("ATOMNB_QUICK"))

# %% [markdown]
# ## 1. A strained layer
#
# A square crystal, 3.9 Å from column to column. Between 25 and 50 Å from the left lies a layer that was grown on it:
# along the surface (y) it has taken over the crystal's spacing, along the growth direction (x) it is 2 % longer.

# %%
spacing, misfit, pixel, size = 3.9, 0.02, 0.15, 512
step = np.arange(20) * spacing + 2.0
y, x = (v.ravel() for v in np.meshgrid(step, step, indexing="ij"))
inside = np.clip(x, 25, 50) - 25
true_yx = np.stack([y, x + misfit * inside], axis=1) / pixel
true_yx = true_yx[(true_yx < size - 3).all(axis=1)]

# %% [markdown]
# Each column is a Gaussian of 0.4 Å with 300 electrons; each pixel counts its electrons. The layer cannot be seen.

# %%
positions = torch.tensor(true_yx, dtype=torch.float32)[None]
flat = torch.ones(1, len(true_yx))
clean = render_columns(positions, 300 * flat, 0.4 / pixel * flat, (size, size))[0].numpy()
pixels = np.random.default_rng(1).poisson(clean + 0.1).astype(np.float32)

plt.figure(figsize=(5, 5))
plt.imshow(pixels, cmap="gray")
plt.axis("off")
plt.show()

# %% [markdown]
# ## 2. From columns to strain
#
# `measure_strain` finds the lattice by itself: which columns belong together, and which of its nodes each one stands
# on. For each column it takes the vectors to its neighbours, compares them with those of a reference lattice, and
# fits the stretch and the turn that lead from these to those. The reference here is a *region*: the crystal left of
# the layer.

# %%
analysis = atomnb.analyze(pixels, pixel_size=pixel)
substrate = analysis.atoms.df["x"] * pixel < 22
strain = measure_strain(analysis.atoms, region=substrate)
strain.df[["y", "x", "eps_xx", "eps_xx_err", "eps_yy", "eps_xy", "rotation", "neighbors"]].head()

# %% [markdown]
# `x` points right and `y` down, as everywhere in atomnb; so a positive `eps_xy` or `rotation` turns the x axis toward
# the lower edge. Now the layer shows, along x and not along y:

# %%
_, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
show_strain(strain, "eps_xx", limit=3, ax=axes[0])
show_strain(strain, "eps_yy", limit=3, ax=axes[1])
show_strain(strain, "eps_xx_err", ax=axes[2])
plt.show()

# %% [markdown]
# The map of errors is dark where all eight neighbours took part. At the border, and worst at the corners, there are
# fewer, and the error grows. Always look at it before you believe a colour.
#
# ## 3. Are the errors true?
#
# The profile along x: every column as a dot with its error, and the planted strain as a line.

# %%
table = strain.df.dropna(subset=["eps_xx"])
at = table["x"] * pixel
plt.figure(figsize=(8, 3.4))
plt.errorbar(at, 100 * table["eps_xx"], 100 * table["eps_xx_err"], fmt=".", ms=3, lw=0.4, color="tab:blue", alpha=0.5)
line = np.linspace(0, size * pixel, 500)
plt.step(line, 100 * misfit * ((line > 25) & (line < 50)), color="black")
plt.gca().set(xlabel="x (Å)", ylabel="ε_xx (%)", ylim=(-2, 4))
plt.show()

# %%
away = ((at - 25).abs() > spacing) & ((at - 50.5).abs() > spacing)
planted = np.where((at > 25) & (at < 50.5), misfit, 0.0)
pull = ((table["eps_xx"] - planted) / table["eps_xx_err"])[away]
print(f"{(pull.abs() < 1).mean():.0%} of the columns lie within one standard error of the truth (68 % should).")
layer = table[away & (planted > 0)]["eps_xx"]
print(f"Mean of {len(layer)} columns of the layer: {100 * layer.mean():.2f} %")

# %% [markdown]
# One column tells ε within 0.3 %, the mean over the layer within less than 0.1 %, since noise averages out. It does so
# more slowly than by √n: columns side by side share neighbours, so their errors are not independent.
#
# Systematic errors do not average out. A real microscope distorts the scan by a per cent or so, row by row, and no
# error bar knows of that. Watch out for stripes along the fast scan direction.
#
# ## 4. Against what?
#
# Strain is always against something. Without a `region`, it is the median of the image, and the same crystal seems
# compressed where it is not stretched:

# %%
against = {
    "region": strain,
    "median of the image": measure_strain(analysis.atoms),
    "given lattice": measure_strain(analysis.atoms, reference=spacing * np.eye(2)),
}
for name, found in against.items():
    left, middle = (found.df["eps_xx"][part].median() for part in (substrate, (at > 30) & (at < 45)))
    print(f"{name:>20}: substrate {100 * left:+.2f} %, layer {100 * middle:+.2f} %")

# %% [markdown]
# Lattice vectors you give must be in true Å. If the pixel size of the file is 2 % wrong, everything seems strained by
# 2 %. A region in the same image has no such trouble.
#
# ## 5. Sharp or exact
#
# With a larger `reach` more neighbours take part. Errors fall, and edges blur.

# %%
_, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for ax, reach in zip(axes, (1.0, 1.5, 3.0), strict=True):
    found = measure_strain(analysis.atoms, region=substrate, reach=reach)
    show_strain(found, "eps_xx", limit=3, ax=ax)
    ax.set_title(f"reach {reach}: error {100 * found.df['eps_xx_err'].median():.2f} %")
plt.show()

# %% [markdown]
# ## 6. Two grains
#
# Where two crystals meet, each is measured against its own lattice. Positions alone are enough; these come straight
# from a structure, graphene with a grain boundary. `grains` lists the lattice vectors and their direction.

# %%
sheet = create_structure("graphene-grain-boundary", size_angstrom=(60, 60))
yx = sheet.columns().positions_yx
found = measure_strain(yx[(yx[:, 1] > 8) & (yx[:, 1] < 52)])
print(found.grains[["atoms", "a1", "a2", "direction"]].round(3).to_string())

_, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
axes[0].scatter(found.df["x"], found.df["y"], c=found.df["grain"], cmap="tab10", vmin=-1, vmax=8, s=12)
axes[0].set(aspect="equal", xticks=[], yticks=[], title="grain")
axes[0].invert_yaxis()
show_strain(found, "eps_xx", limit=5, ax=axes[1])
plt.show()

# %% [markdown]
# The boundary is a row of dislocations: on one side of each the crystal is squeezed, on the other stretched.
#
# ## 7. Polarisation
#
# PbTiO3 is polar: lead, titanium and oxygen are shifted against one another, by up to half an ångström. In the image
# one sees that titanium does not sit in the middle of its four lead neighbours. Here is a crystal of two domains.

# %%
structure = create_structure(
    "pbtio3-001", size_angstrom=(50, 70), options={"thickness_angstrom": 8.0, "polarization": "180-walls"}
)
clean = convolution_image(structure, pixel_size=0.15)
pixels = np.random.default_rng(2).poisson(clean / clean.mean() * (8 if quick else 20)).astype(np.float32)
perovskite = atomnb.analyze(pixels, pixel_size=0.15)

# %% [markdown]
# `measure_polarization` takes each B column (titanium) and the four A columns (lead) around it. Which are which it
# tells from the checkerboard they form, A being the brighter ones.

# %%
polar = measure_polarization(perovskite.atoms)
_, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
show_polarization(polar, image=pixels, ax=axes[0])
titanium = polar[polar["site"] == "B"]
axes[1].errorbar(titanium["x"] * 0.15, 100 * titanium["d_y"], 100 * titanium["d_y_err"], fmt=".", lw=0.5)
axes[1].axhline(0, color="0.6", lw=0.8)
axes[1].set(xlabel="x (Å)", ylabel="displacement of Ti along y (pm)")
plt.show()

# %% [markdown]
# The wall is one cell wide. What is plotted is the place of the whole column: titanium and the oxygen in line with it,
# which moves farther than titanium does.
#
# For a polarisation in µC/cm² one needs the charge that goes with a displacement. The Born charge of titanium alone
# leaves out the rest. Take one that gives the known value: PbTiO3 has 75 µC/cm² at room temperature. In PbTiO3 it is
# negative: against oxygen, lead moves farther than titanium, so that titanium lags behind lead, *against* the
# polarisation. In BaTiO3 titanium leads.

# %%
cell_volume = 3.904 * 3.904 * 4.152
charge = -75 / 1602.18 * cell_volume / titanium["d_y"].abs().median()
polar = measure_polarization(perovskite.atoms, charge=charge, depth_angstrom=3.904)
titanium = polar[polar["site"] == "B"]
left = titanium["x"] < titanium["x"].mean()
for name, domain in (("left", titanium[left]), ("right", titanium[~left])):
    print(
        f"{name:>5}: P_y = {domain['p_y'].median():+.0f} µC/cm², one cell ± {domain['p_y_err'].median():.0f}; y is down"
    )
print(f"effective charge {charge:.1f} e")

# %% [markdown]
# ## What to take away
#
# - Strain has a sign, axes and a reference. Say all three.
# - One column gives ε to a few tenths of a per cent. Look at the error map; average where you can.
# - Errors from counting noise are true; distortions of the scan come on top of them.
#
# ## Your turn
#
# - Your own image: `atomnb.read_image("file.dm3")`, then from step 2 on.
# - Fewer electrons: change 300 in step 1. How does the error of ε go with the dose?
# - Give the layer a turn instead of a stretch, and look at `rotation`.
# - `strain.atoms.save("strain.csv")` writes the whole table.
