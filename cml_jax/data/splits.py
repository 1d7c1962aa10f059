"""Seeded splits of interactions."""

import numpy as np

from cml_jax.data.interactions import Dataset, Interactions, from_pairs


def per_user_parts(interactions: Interactions, counts: np.ndarray, seed: int) -> list[Interactions]:
    """Distributes each user's items at random over parts of given sizes.

    Args:
        interactions: pairs to split.
        counts: ndarray[U, parts]; items of each user in each part; rows must sum to the user's degree.
        seed: of the split; the same seed and interactions give the same parts.

    Returns:
        One Interactions a part.
    """
    rng = np.random.default_rng(seed)
    users = interactions.users
    order = np.lexsort((rng.random(interactions.num_pairs), users))  # shuffled within each user
    place = np.arange(interactions.num_pairs) - interactions.indptr[users]
    ends = np.cumsum(counts, axis=1)
    part = np.sum(place[:, None] >= ends[users], axis=1)
    shuffled = interactions.items[order]
    return [
        from_pairs(users[part == p], shuffled[part == p], interactions.num_users, interactions.num_items)
        for p in range(counts.shape[1])
    ]


def per_user_ratio(interactions: Interactions, ratio: tuple[int, ...], seed: int) -> list[Interactions]:
    """Splits each user's items in a ratio such as (3, 1, 1); what does not divide evenly goes to the first part."""
    degrees = interactions.degrees
    rest = [degrees * share // sum(ratio) for share in ratio[1:]]
    return per_user_parts(interactions, np.stack([degrees - sum(rest), *rest], axis=1), seed)


def carve_validation(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Moves a share of each user's training items to validation, where the data set brings none.

    A user with n training items gives round(fraction * n), halves rounded up, and always keeps at least one.

    Args:
        dataset: its valid part must be empty.
        fraction: share of each user's training items, in (0, 1).
        seed: of the split.

    Returns:
        The data set with train and valid replaced, and a note that says so.
    """
    degrees = dataset.train.degrees
    moved = np.minimum(np.floor(fraction * degrees + 0.5).astype(np.int64), degrees - 1)
    train, valid = per_user_parts(dataset.train, np.stack([degrees - moved, moved], axis=1), seed)
    note = (
        f"There is no validation split: carved {valid.num_pairs:,} of {dataset.train.num_pairs:,} training pairs "
        f"({fraction:.0%} of each user's, split seed {seed}) for it."
    )
    return dataset._replace(train=train, valid=valid, notes=(*dataset.notes, note))
