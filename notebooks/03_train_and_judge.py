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
#   title: Training and judging a model
# ---

# %% [markdown]
# # Training and judging a model
#
# atomnb comes with trained models. Here you train one yourself, for graphene with silicon, and then do what matters
# more: find out how good it is. How many atoms does it find, at which dose does it fail, does it name them rightly, and
# can you believe its probabilities?
#
# On one core the training takes some minutes. The dashboard *Train* does the same with buttons.

# %%
import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import atomnb
from atomnb.locate.calibrate import fit_calibration, judged_peaks
from atomnb.locate.peaks import calibrated, find_peaks
from atomnb.metrics import match_positions
from atomnb.nets.checkpoint import Model, save_model
from atomnb.nets.registry import create_net
from atomnb.segment import predict_probability
from atomnb.simulate.batch import random_batch
from atomnb.simulate.class_schemes import SCHEMES
from atomnb.simulate.convolution import convolution_image
from atomnb.simulate.exposures import ExposureConfig, make_exposures
from atomnb.simulate.ideal import ideal_image
from atomnb.simulate.optics import Optics
from atomnb.simulate.structures import create_structure
from atomnb.train.cards import model_card
from atomnb.train.finetune import FinetuneConfig, LabelledFrame, finetune
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import recipe
from atomnb.train.temperature import reliability

quick = bool(os.environ.get("ATOMNB_QUICK"))

# %% [markdown]
# ## 1. What it learns from
#
# A *recipe* tells which scenes a model is trained on. This one draws graphene at any angle, strained, with holes,
# silicon and dirt, at doses from very low to very high. The scenes are made while we train, so none comes twice. To be
# fast we take small ones.

# %%
graphene = recipe("graphene-si")
scenes = replace(graphene.curriculum[0][1], size=64)
print(graphene.classes)

# %% [markdown]
# Above the images, below what the network shall answer: carbon in blue, silicon in red. It gives a probability for each
# pixel and class.

# %%
batch = random_batch(np.random.default_rng(4), 6, scenes)
_, axes = plt.subplots(2, 6, figsize=(12, 4.2), layout="constrained")
for (above, below), pixels, (carbon, silicon) in zip(axes.T, batch.images, batch.labels.numpy(), strict=True):
    above.imshow(pixels, cmap="gray")
    below.imshow(np.stack([silicon, 0.7 * carbon, carbon], axis=-1).clip(0, 1))
    for ax in (above, below):
        ax.axis("off")
plt.show()

# %% [markdown]
# ## 2. A network
#
# The U-Net sees an image coarse and fine at once: coarse to recognise the lattice, fine to place the atom. Ours is
# small. It has random weights and knows nothing yet.

# %%
options = {"n_classes": len(graphene.classes), "widths": (16, 24, 32, 48)}
net, untrained = create_net("unet", options, seed=0), create_net("unet", options, seed=0).eval()
print(f"{sum(weights.numel() for weights in net.parameters()):,} numbers to learn")

# %% [markdown]
# ## 3. Train
#
# Step by step the network is shown a batch of images, and its numbers are changed a little so that its answer comes
# nearer to the labels. The *loss* measures how far off it is. `stream_batches` makes batch number `first` and all that
# follow.

# %%
config = TrainConfig(steps=60 if quick else 1000, batch_size=8, warmup_steps=20, log_steps=5)
trained = fit(net, lambda first: stream_batches([(0, scenes)], batch_size=8, seed=0, start=first), config=config)

# %% [markdown]
# `fit` gives back the network and its log. Grey is the loss of five steps, blue a running mean.

# %%
log = pd.DataFrame(trained.history)
plt.figure(figsize=(6.5, 3.4))
plt.plot(log.step, log.loss, color="0.75")
plt.plot(log.step, log.loss.rolling(10, min_periods=1).mean(), color="tab:blue")
plt.gca().set(xlabel="step", ylabel="loss", ylim=(0, None))
plt.show()

# %% [markdown]
# The curve falls steeply, then slowly. It never reaches zero: where noise hides an atom, nobody can know. The loss
# alone does not tell how good a model is. For that we need a test.
#
# ## 4. A test it has never seen
#
# A fair test differs from the training. So we take other physics: a sheet from `create_structure`, through a true
# probe (see *Simulating a training set*), in which every atom is known.

# %%
sheet = create_structure("graphene-si", size_angstrom=(50, 50), seed=2, options={"three_fold": 8, "four_fold": 6})
ideal = ideal_image(
    convolution_image(sheet, optics=Optics(energy_ev=60e3, semiangle_mrad=33.0)),
    sheet,
    pixel_size=0.15,
    scheme=SCHEMES["graphene-si"],
)
exposure = ExposureConfig(shape=(256, 256), pixel_size=(0.16, 0.16))
test = next(make_exposures(ideal, 1, config=replace(exposure, dose=(500, 500)), seed=1))

# %% [markdown]
# A *card* says what a model is and at which scale it works; net and card together are a model. Before and after:

# %%
card = model_card("graphene-si", net, calibration={"lattice": (1.0, 0.0), "single": (1.0, 0.0)})
card = replace(card, name="my-graphene", summary="Trained in the notebook.")
mine = Model(trained.net, card)
zoom = test.pixel_size / card.working["pixel_size"]
before = predict_probability(test.image, Model(untrained, card), zoom=zoom)
after = predict_probability(test.image, mine, zoom=zoom)

# %% [markdown]
# Again carbon in blue and silicon in red. A network that was never trained calls everything background.

# %%
_, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
axes[0].imshow(test.image, cmap="gray", vmax=np.percentile(test.image, 99.7))
for ax, (_, carbon, silicon) in zip(axes[1:], (before, after), strict=True):
    ax.imshow(np.stack([silicon, 0.7 * carbon, carbon], axis=-1).clip(0, 1))
for ax, title in zip(axes, ("image", "before training", "after training"), strict=True):
    ax.set_title(title)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## 5. How many atoms?
#
# From the map to atoms: each peak of the probability is one. Then we pair found and true atoms, one to one. *Precision*
# is the share of the found ones that are right, *recall* the share of the true ones that were found, and *F1* sums up
# both: 1 is perfect.

# %%
found = (find_peaks(1 - after[0]).positions_yx + 0.5) / zoom - 0.5
tolerance = 0.3 * 1.42 / test.pixel_size
match = match_positions(found, test.positions_yx, tolerance=tolerance)
print(f"precision {match.precision:.3f}, recall {match.recall:.3f}, F1 {match.f1:.3f}")
print(f"half of them within {100 * test.pixel_size * np.median(np.hypot(*match.residuals_yx.T)):.0f} pm")

# %% [markdown]
# One number at one dose says little. We lower the dose until the model fails, and put the shipped models beside it:
# `graphene-si` was trained much longer on such scenes, `universal` on lattices of all kinds.

# %%
models = {"mine": mine, "graphene-si": atomnb.load_model("graphene-si"), "universal": atomnb.load_model("universal")}
doses = np.array([10, 30, 300] if quick else [5, 10, 20, 40, 80, 160, 320, 1000, 3000])
rows = []
for dose in doses:
    for frame in make_exposures(ideal, 1 if quick else 3, config=replace(exposure, dose=(dose, dose)), seed=2):
        for name, model in models.items():
            probability = predict_probability(frame.image, model, zoom=zoom)
            peaks = find_peaks(1 - probability[0], calibration=model.card.calibration["lattice"])
            positions = (peaks.positions_yx + 0.5) / zoom - 0.5
            score = match_positions(positions, frame.positions_yx, tolerance=tolerance).f1
            rows.append({"dose": dose, "model": name, "F1": score})
table = pd.DataFrame(rows).pivot_table(index="dose", columns="model", values="F1")[list(models)]
table.round(3)

# %% [markdown]
# The same as curves. The further to the left a curve rises, the fewer electrons its model needs.

# %%
plt.figure(figsize=(6.5, 3.8))
for name, marker in zip(models, "osD", strict=True):
    plt.plot(table.index, table[name], marker=marker, label=name)
plt.gca().set(xscale="log", xlabel="electrons per column", ylabel="F1", ylim=(0, 1.02))
plt.legend(frameon=False, loc="lower right")
plt.show()

# %% [markdown]
# All three fail at very few electrons. No training helps where the image does not hold the answer. There yours may lie
# above the shipped ones: it lists whatever it guesses, while their scores are calibrated (step 7) and so fall below one
# half where they cannot know.
#
# ## 6. Are the names right?
#
# A model of one material also names what it finds. For each pair of a found and a true atom we look up which class is
# the more probable one. Rows are the truth; whatever stands off the diagonal is wrong.

# %%
y, x = find_peaks(1 - after[0]).positions_yx[match.pairs[:, 0]].round().astype(int).T
named = np.array(graphene.classes)[1 + after[1:, y, x].argmax(axis=0)]
pd.crosstab(test.species[match.pairs[:, 1]], named, rownames=["true"], colnames=["named"])

# %% [markdown]
# ## 7. Can you believe its probabilities?
#
# Each peak has a score. If the model is *calibrated*, of all peaks with a score of 0.7 seven in ten are atoms. We
# collect the peaks in scenes it never saw, and compare what was promised with what came.

# %%
stream = stream_batches([(0, replace(scenes, share_low_dose=0.5))], batch_size=16, seed=77)
pairs = [pair for _ in range(3 if quick else 20) for pair in judged_peaks(trained.net, next(stream))]
promised, right = (np.concatenate(part) for part in zip(*pairs, strict=True))
print(f"{len(promised):,} peaks, {right.mean():.0%} of them are atoms")

# %% [markdown]
# Two numbers, a slope and an offset, bring the scores nearer to the truth. `fit_calibration` finds them on still other
# scenes. They go into the card.

# %%
slope, offset = fit_calibration(trained.net, scenes, batches=2 if quick else 12)
card = replace(card, calibration={"lattice": (slope, offset), "single": (slope, offset)})
corrected = calibrated(promised, (slope, offset))

# %% [markdown]
# On the dotted line a score is what it promises. Above it the model is too modest, below it too sure.

# %%
plt.figure(figsize=(4.6, 4.4))
plt.plot([0, 1], [0, 1], color="0.6", linestyle=":")
for values, label in ((promised, "as trained"), (corrected, "calibrated")):
    bins = reliability(values.clip(0, 1), right, bins=8)
    plt.plot(bins.promised, bins.observed, marker="o", label=label)
plt.gca().set(xlabel="score", ylabel="share that are atoms", aspect="equal")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 8. Keep it
#
# A model is two files: weights and card. Put them into the folder that `user_models_folder()` names, and *Find atoms*
# and `atomnb.analyze(image, model="my-graphene")` offer it.

# %%
path = save_model(trained.net, card, Path("models"))
print(path, f"{path.stat().st_size / 1e6:.2f} MB")

# %% [markdown]
# ## 9. Teach it something new
#
# Training from nothing needs thousands of images. A model that knows what atoms look like needs few more to learn a new
# kind of image: that is *fine-tuning*. One frame of MoS2, in which every column is marked, shall be enough. Here it is
# simulated; of your own image you would mark the columns by hand, or correct what a model found.
#
# The classes are others, so the last layer begins anew: at first the model is worse than its parent, and stopped too
# early it stays so.

# %%
crystal = create_structure("mos2", size_angstrom=(50, 50), seed=0)
mos2 = ideal_image(
    convolution_image(crystal, optics=Optics(energy_ev=80e3)), crystal, pixel_size=0.15, scheme=SCHEMES["tmd"]
)
first, second = make_exposures(mos2, 2, config=replace(exposure, dose=(2000, 2000)), seed=3)
labelled = LabelledFrame(atomnb.Micrograph(first.image, first.pixel_size), first.positions_yx, first.species)

# %%
tuning = FinetuneConfig(steps=120 if quick else 300, size=64, learning_rate=2e-3)
tuned = finetune(path, [labelled], name="my-mos2", classes=("Mo", "S2"), config=tuning)
print(tuned.card.summary)

# %% [markdown]
# We look at the second frame, which it has not seen: what the parent and the tuned model make of it. Neighbours are
# brought 7 px apart, as the networks like it.

# %%
spacing = 1.82 / second.pixel_size
zoom = 7 / spacing
views = [predict_probability(second.image, model, zoom=zoom) for model in (mine, tuned)]
_, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
axes[0].imshow(second.image, cmap="gray", vmax=np.percentile(second.image, 99.7))
for ax, (_, one, other) in zip(axes[1:], views, strict=True):
    ax.imshow(np.stack([other, 0.7 * one, one], axis=-1).clip(0, 1))
for ax, title in zip(axes, ("image", "parent: C blue, Si red", "tuned: Mo blue, S2 red"), strict=True):
    ax.set_title(title)
    ax.axis("off")
plt.show()

# %% [markdown]
# And in numbers, as in steps 5 and 6. The parent cannot name what it finds: it knows neither molybdenum nor sulfur.

# %%
scores = []
for label, model, probability in zip(("parent", "tuned"), (mine, tuned), views, strict=True):
    peaks = find_peaks(1 - probability[0])
    match = match_positions((peaks.positions_yx + 0.5) / zoom - 0.5, second.positions_yx, tolerance=0.3 * spacing)
    y, x = peaks.positions_yx[match.pairs[:, 0]].round().astype(int).T
    named = np.array(model.classes)[1 + probability[1:, y, x].argmax(axis=0)]
    true = second.species[match.pairs[:, 1]]
    scores.append(match.f1)
    print(f"{label}: F1 {match.f1:.3f}; of what it finds, {(named == true).mean():.0%} named rightly")
if scores[1] > scores[0]:
    print("The tuned model finds the atoms of MoS2 better than its parent.")
else:
    print(f"The tuned model is no better than its parent: {tuning.steps} steps were too few for its new last layer.")

# %% [markdown]
# Rows are the truth, columns what the tuned model calls it.

# %%
pd.crosstab(true, named, rownames=["true"], colnames=["tuned model"])

# %% [markdown]
# ## What to take away
#
# - Judge a model on images it has not seen, made in another way than those it learnt from, and best of all on real
#   ones.
# - Ask how it fails: at which dose, on which class, and whether its probabilities admit it.
# - A model knows the kind of images it was trained on. For a new kind, tune it, or train it anew.
#
# ## Your turn
#
# - Train longer: at which step does the F1 at 20 electrons stop growing?
# - Another network: `create_net("resunet")`, `"dilated"` or `"encoder-decoder"`. Which is best after the same time?
# - `python -m atomnb.train graphene-si` trains the shipped model by its full recipe, and goes on after an interruption.
