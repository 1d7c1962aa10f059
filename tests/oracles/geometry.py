"""Norm constraints once more, in plain NumPy and float64, written from the papers' formulas."""

import numpy as np


def to_ball(rows):
    return np.array([row / max(1.0, np.linalg.norm(row)) for row in rows])


def to_sphere(rows):
    return np.array([row / np.linalg.norm(row) for row in rows])
