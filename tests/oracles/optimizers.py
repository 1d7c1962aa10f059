"""Optimizers of rows once more, in plain NumPy and float64, written from the papers' formulas."""

import numpy as np


def lazy_adam(table, steps, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Adam on the touched rows only, with a step count common to all rows; steps are (rows, grads) with repeats."""
    table = table.astype(np.float64).copy()
    first, second = np.zeros_like(table), np.zeros_like(table)
    for t, (rows, grads) in enumerate(steps, start=1):
        for row in np.unique(rows):
            gradient = grads[rows == row].sum(axis=0)
            first[row] = b1 * first[row] + (1 - b1) * gradient
            second[row] = b2 * second[row] + (1 - b2) * gradient**2
            corrected = first[row] / (1 - b1**t), second[row] / (1 - b2**t)
            table[row] -= learning_rate * corrected[0] / (np.sqrt(corrected[1]) + eps)
    return table
