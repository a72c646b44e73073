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
#   title: From atoms to named defects
# ---

# %% [markdown]
# # From atoms to named defects
#
# A network can only name what it was taught. Defects come in more kinds than anyone can teach, but all of them are
# made of atoms and bonds. So the network finds the atoms, simple chemistry draws the bonds, and whatever differs from
# the perfect crystal is a defect, seen before or not. This is the second idea of Ziatdinov, Dyck, Jesse and Kalinin
# (2018); the dashboard *Defects* does the same with buttons.
#
# The image is simulated, so the answer is known: graphene with a Stone–Wales rotation, a 5-8-5 divacancy, single
# silicon atoms and a trimer. The network was trained on silicon in graphene and never saw a Stone–Wales rotation or a
# 5-8-5.

# %%
import matplotlib.pyplot as plt
import numpy as np

import atomnb
from atomnb.graph.rules import load_rules
from atomnb.viz.overlay import show_atoms

# %%
image = atomnb.sample_image("graphene-defects")
pixels = image.frame()
plt.figure(figsize=(6, 6))
plt.imshow(pixels, cmap="gray", vmax=np.percentile(pixels, 99.7))
plt.axis("off")
plt.show()

# %% [markdown]
# ## 1. Which model, which rules
#
# A model and rules are made for a material. Nobody needs to guess: the lattice tells. Here every atom has three
# neighbours 1.42 Å away, and all are about as bright. In a dichalcogenide the neighbours would be of another
# brightness, in a perovskite there would be four.

# %%
crystal = atomnb.recognize_crystal(image)
print(crystal)
print(f"model {crystal.model!r}, rules {crystal.rules!r}")

# %% [markdown]
# ## 2. The rules
#
# What may bond to what, and at which distance, stands in a small text file. Silicon may have up to four bonds, carbon
# in the sheet no more than three. The perfect crystal is a honeycomb of rings of six.

# %%
rules = load_rules(crystal.rules)
print(rules.summary)
print("sets of rules:", ", ".join(atomnb.list_rules()))
for (first, second), (low, high) in sorted(rules.ranges.items()):
    if {first, second} <= {"C", "Si"}:
        print(f"{first}–{second}: {low} to {high} Å")

# %% [markdown]
# ## 3. One call
#
# `rules=` adds two things to an analysis: `graph`, the atoms with their bonds and rings, and `defects`, a table.

# %%
analysis = atomnb.analyze(image, model=crystal.model, rules=crystal.rules)
graph, defects = analysis.graph, analysis.defects
defects[["formula", "name", "kind", "confidence", "y", "x", "rings", "missing"]]

# %% [markdown]
# A formula says what sits there and what it is bonded to: `Si1C3` is one silicon with three carbon neighbours. `Va2`
# stands for two missing atoms. How can one count what is not there? Walk round the defect from bond to bond and note
# where to turn; the same walk in a perfect crystal encloses a number of atoms that strain and noise cannot change.

# %%
figure, ax = plt.subplots(figsize=(8, 8))
show_atoms(analysis, ax=ax, colour_by="species")
plt.show()

# %% [markdown]
# ## 4. Bonds are probabilities
#
# Each position has a standard error, so whether two atoms are bonded is a question of probability. The graph is the
# most probable one in which no atom has too many bonds and no two bonds cross, found exactly and not bond by bond.
# Atoms at the border (`graph.open`) are left out of the histogram: the image cuts them, and they are misplaced.

# %%
lengths = graph.neighbors.distances
carbon = (graph.species[graph.neighbors.pairs] == "C").all(axis=1)
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
whole = ~graph.open[graph.neighbors.pairs].any(axis=1)
ax.hist(lengths[carbon & whole], 60, label="C–C")
ax.hist(lengths[~carbon & whole], 30, label="with Si")
ax.set(xlabel="bond length (Å)", ylabel="bonds")
ax.legend()
plt.show()

# %% [markdown]
# ## 5. The same defect, wherever it lies
#
# `topology` is a fingerprint of the atoms, bonds and rings of a defect. Two defects share it if one is a turned,
# mirrored or distorted copy of the other; isomers, with the same formula but other bonds, do not.

# %%
for topology, group in defects.groupby("topology", sort=False):
    print(topology[:4], "×", len(group), "", group["name"].iloc[0])

# %% [markdown]
# What no rule names is called *unseen*, always in the same way, and you may give it a name of your own: `names` maps
# a topology to what you call it.

# %%
mine = {defects["topology"][0]: "my favourite defect"}
atomnb.find_defects(analysis.atoms, rules="graphene", names=mine)[["name", "formula"]].head(3)

# %% [markdown]
# ## 6. How sure?
#
# Confidence multiplies what must hold: the atoms are there, are what they are called, are bonded as drawn. In a noisy
# image a missed carbon looks like a vacancy. So add noise and see which names survive. (An atom has about 160 pixels.)

# %%
for share in (1.0, 0.1, 0.03, 0.01, 0.005):
    noisy = np.random.default_rng(0).poisson(np.clip(pixels, 0, None) / pixels.mean() * 20 * share)
    noisy = atomnb.Micrograph(noisy.astype(float), pixel_size=image.pixel_size)
    again = atomnb.analyze(noisy, model=crystal.model, rules=crystal.rules).defects
    sure = again[(again["confidence"] > 0.7) & again["complete"]]
    print(f"{20 * share:4.1f} electrons per pixel: {', '.join(sorted(sure['name'])) or 'nothing sure'}")

# %% [markdown]
# Down to a hundred electrons per atom all names stand. At some thirty the first are lost and *false* ones appear. For a
# vacancy the confidence asks the image whether the place is empty, so few of the false ones are sure; but of atoms that
# noise moved aside it knows nothing. So ask first how many electrons an atom has.
#
# ## Try it
#
# - Copy `atomnb/graph/rulesets/graphene.yaml`, allow nitrogen or your own dopant, and pass the path as `rules=`.
# - `analysis.save("folder")` writes the table of defects beside that of the atoms.
# - Open your own image: `atomnb.read_image("my_file.dm3")`.
