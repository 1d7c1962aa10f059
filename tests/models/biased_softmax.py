"""The decoupled softmax of models with item biases, pair by pair in NumPy."""

import numpy as np


def total_loss(batch, train, users, items, biases, temperature, exponent):
    """The sum over the trained pairs of a batch.

    Args:
        batch: of a step.
        train: training interactions; a user's known positives are no candidates.
        users: ndarray[U, D] of unit vectors.
        items: ndarray[I, D] of unit vectors.
        biases: ndarray[I], in cosines.
        temperature: T.
        exponent: of the negative part.
    """
    total = 0.0
    for pair in np.flatnonzero(batch.trained):
        user, positive = int(batch.users[pair]), int(batch.positives[pair])
        others = [int(item) for item in batch.others if int(item) not in train.row(user)]
        own, *away = (items[[positive, *others]] @ users[user] + biases[[positive, *others]]) / temperature
        total += exponent * np.log(np.exp(away).sum()) - own
    return total
