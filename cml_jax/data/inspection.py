"""A data set at a glance, as text: sizes, density, what test shares with training, whether it is random, histograms."""

from collections.abc import Sequence

import numpy as np

from cml_jax.data import overlap, randomness
from cml_jax.data.interactions import Dataset, Interactions, union
from cml_jax.data.tables import PARTS

_BAR = 40  # characters of the longest bar


def describe(dataset: Dataset) -> str:
    """Describes a data set: sizes, density, overlap of parts, randomness of test, histograms; its notes say the rest.

    Args:
        dataset: after filters and split.

    Returns:
        Lines of text.
    """
    parts = [(name, getattr(dataset, name)) for name in PARTS]
    whole = union(union(dataset.train, dataset.valid), dataset.test)
    lines = [
        f"{whole.num_users:,} users, {whole.num_items:,} items, {whole.num_pairs:,} pairs, density {density(whole):.3g}"
    ]
    lines += [f"  {name:5} {part.num_pairs:>12,} pairs of {_num_users(part):,} users" for name, part in parts]
    weights = dataset.train.weights
    if weights is not None:
        low, middle, high = np.quantile(weights, (0, 0.5, 1))
        lines.append(f"  weights of training pairs: {low:.4g} to {high:.4g}, median {middle:.4g}")
    if dataset.dislikes is not None:
        lines.append(f"  dislikes {dataset.dislikes.num_pairs:,} of {_num_users(dataset.dislikes):,} users")
    for kind, features in (("items", dataset.item_features), ("users", dataset.user_features)):
        for feature in features.columns if features is not None else ():
            distinct = f", {len(feature.vocabulary):,} values" if len(feature.vocabulary) else ""
            lines.append(f"  {kind}' {feature.name}: {feature.kind}{distinct}, {feature.missing.sum():,} missing")
    if dataset.overlap is not None:
        lines += ["", *overlap.report(dataset.overlap)]
    sample = randomness.measure(whole, dataset.test)
    if sample is not None:
        lines += ["", *randomness.report(sample)]
    lines += ["", "Pairs of a user:", *histogram(whole.degrees), "", "Pairs of an item:", *histogram(whole.popularity)]
    return "\n".join(lines)


def density(interactions: Interactions) -> float:
    """Share of the users x items places that hold a pair."""
    return interactions.num_pairs / max(1, interactions.num_users * interactions.num_items)


def histogram(counts: Sequence[int] | np.ndarray) -> list[str]:
    """A histogram as lines of text: how many of the counts are 0, 1, 2 to 3, 4 to 7 and so on, each with a bar.

    Args:
        counts: ndarray[n] of integers of 0 or more.
    """
    counts = np.asarray(counts)
    if len(counts) == 0:
        return ["  none"]
    # The number of binary digits: 0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7.
    digits = np.frexp(counts.astype(np.float64))[1] * (counts > 0)
    sizes = np.bincount(digits)
    labels = ["0", "1", *(f"{2 ** (d - 1):,}-{2**d - 1:,}" for d in range(2, len(sizes)))]
    shown = range(int(np.argmax(sizes > 0)), len(sizes))
    width = max(len(labels[d]) for d in shown)
    lines = []
    for d in shown:
        bar = "#" * max(round(_BAR * sizes[d] / sizes.max()), int(sizes[d] > 0))
        lines.append(f"  {labels[d]:>{width}}  {sizes[d]:>9,}  {bar}".rstrip())
    middle = int(np.median(counts))
    return [*lines, f"  median {middle:,}, mean {counts.mean():,.1f}, largest {counts.max():,}"]


def _num_users(part: Interactions) -> int:
    return int(np.count_nonzero(part.degrees))
