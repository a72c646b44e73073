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
#   title: Vacancies and dopants in dichalcogenides
# ---

# %% [markdown]
# # Vacancies and dopants in dichalcogenides
#
# In a monolayer of MoS2 two sulfur atoms stand behind one another in each sulfur column. One of them is often
# missing: a vacancy that leaves a fainter column, not an empty one. Here you count such vacancies, ask whether they
# attract each other, and learn why brightness, place and network must agree before a column gets its name.
#
# The image is simulated, so the answer is known.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

import atomnb
from atomnb.data.examples import sample_truth
from atomnb.viz.overlay import show_atoms

image = atomnb.sample_image("mos2")

# %% [markdown]
# ## 1. Atoms, bonds, defects
#
# The model `tmd` names metal, chalcogen pair, single chalcogen and empty site; the rules `mos2` say that these are
# Mo, S2 and S, and that Mo and S sites alternate on a honeycomb.

# %%
analysis = atomnb.analyze(image, model="tmd", rules="mos2")
graph, defects = analysis.graph, analysis.defects
print(defects["name"].value_counts().to_string())

figure, ax = plt.subplots(figsize=(8, 8))
show_atoms(analysis, ax=ax, colour_by="species")
plt.show()

# %% [markdown]
# ## 2. Place and brightness
#
# Which kind of site a column stands on is told by its neighbours; what stands there by its brightness, by the
# network, and by how rare each possibility is. In the histogram one and two sulfur atoms lie apart, so here the
# brightness alone would do. With fewer electrons the groups widen until they overlap, and all three are needed.

# %%
brightness = analysis.atoms.df["intensity"].to_numpy()
inner = ~graph.open
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for site, colour in (("Mo", "tab:blue"), ("S", "tab:orange")):
    ax.hist(brightness[inner & (graph.sites == site)], 60, color=colour, alpha=0.6, label=f"{site} sites")
single = inner & ~graph.at_home
ax.plot(brightness[single], np.full(single.sum(), 1.0), "k|", ms=14, label="not as it should be")
ax.set(xlabel="brightness of a column", ylabel="columns", yscale="log")
ax.legend()
plt.show()

# %% [markdown]
# ## 3. How many?
#
# Counting has an error, too: of N sites with a true share p, about √(N p (1 − p)) more or fewer are found vacant in a
# field of view. Only columns with all their neighbours in the image are counted. Where both atoms are gone (`V_S2`)
# there is no column: such a site is neither counted here nor among the planted ones.

# %%
sites = int((inner & (graph.sites == "S")).sum())
vacant = int((defects["complete"] & (defects["name"] == "V_S")).sum())
share = vacant / sites
error = np.sqrt(share * (1 - share) / sites)
print(f"{vacant} of {sites} sulfur columns lack an atom: {100 * share:.1f} ± {100 * error:.1f} %")

print("planted in the whole image:", sample_truth("mos2").df["species"].value_counts().to_dict())

# %% [markdown]
# ## 4. Do they attract each other?
#
# Compare the distances between vacancies with those between as many sulfur sites drawn at random. Points inside the
# grey band are what chance gives.

# %%
angstrom = analysis.pixel_size
found = defects.loc[defects["name"] == "V_S", ["y", "x"]].to_numpy() * angstrom
places = analysis.atoms.positions_yx[graph.sites == "S"] * angstrom
edges = np.arange(2.5, 20, 1.6)
rng = np.random.default_rng(0)

chance = []
for _ in range(200):
    drawn = places[rng.choice(len(places), len(found), replace=False)]
    chance.append(np.histogram(cKDTree(drawn).sparse_distance_matrix(cKDTree(drawn), 20).tocoo().data, edges)[0] / 2)
low, high = np.percentile(chance, [5, 95], axis=0)
tree = cKDTree(found)
pairs = np.histogram(tree.sparse_distance_matrix(tree, 20).tocoo().data, edges)[0] / 2
middle = (edges[1:] + edges[:-1]) / 2
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.fill_between(middle, low, high, color="0.8", label="90 % of random draws")
ax.plot(middle, pairs, "o", label="found")
ax.set(xlabel="distance between two vacancies (Å)", ylabel="pairs")
ax.legend()
plt.show()

# %% [markdown]
# ## Try it
#
# - `model="tmd", rules="wse2"` for WSe2; `rules="tmd"` for an alloy. MoSe2 is out of the model's range: its metal is
#   the fainter column, and no image alone tells it from MoS2.
# - A dopant that the rules do not list is still found as a column whose brightness or name does not belong on its site.
