"""Points of users that training has not seen, from their items alone; the items' points stay where they are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cml_jax.data.interactions import Interactions, padded_rows
from cml_jax.geometry import to_ball, to_sphere
from cml_jax.types import Array

# Chosen on validation items of Last.fm users left out of training.
_NUM_STEPS = 50
_STEP_SIZE = 0.1  # in units of the items' root mean square norm
_TEMPERATURE = 0.5  # in units of the margin
_EXPONENT = 0.25  # of popularity, in the weight of an item as a negative
_NO_WEIGHT = -1e30  # the logarithm of it; finite, so that gradients are
_BYTES_PER_SCORE = 20  # scores, exponentials and their gradients
_MAX_CHUNK = 256


def fold_in(
    items: Array,
    histories: Interactions,
    popularity: np.ndarray,
    *,
    constraint: str,
    margin: float = 1.0,
    memory_budget_mb: float = 512.0,
) -> np.ndarray:
    """Points of new users: what minimises `history_loss` by a fixed number of steps of Adam, without any chance.

    Args:
        items: Array[I, D]; the items' points.
        histories: items of each new user, at least one.
        popularity: ndarray[I]; number of training users of each item.
        constraint: of the model, a name in `geometry.CONSTRAINTS`.
        margin: of the model's triplet loss; it sets the scale of distances.
        memory_budget_mb: bound on the scores of the users solved at once, in MiB; at least one user is.

    Returns:
        ndarray[n, D] float32.
    """
    at_once = int(memory_budget_mb * 2**20 / (_BYTES_PER_SCORE * items.shape[0]))
    size = max(1, min(at_once, _MAX_CHUNK, histories.num_users))
    log_weights = jax.jit(negative_weights)(jnp.asarray(popularity, jnp.float32))
    points = np.empty((histories.num_users, items.shape[1]), np.float32)
    order = np.argsort(histories.degrees, kind="stable")  # lists of about equal length share a chunk
    for start in range(0, len(order), size):
        places = order[start : start + size]
        lists = padded_rows(histories, np.resize(places, size))  # the last chunk repeats users, to keep the shape
        solved = _solve(items, log_weights, jnp.asarray(lists), jnp.float32(margin), constraint=constraint)
        points[places] = np.asarray(solved)[: len(places)]
    return points


def negative_weights(popularity: Array) -> Array:
    """Array[I] -> Array[I], logarithms of weights of sum 1; items without a training user have next to none."""
    weights = jnp.where(popularity > 0, jnp.maximum(popularity, 1.0) ** _EXPONENT, 0.0)
    return jnp.where(popularity > 0, jnp.log(weights / jnp.sum(weights)), _NO_WEIGHT)


def history_loss(user: Array, items: Array, history: Array, log_weights: Array, temperature: Array | float) -> Array:
    """Softmax loss of one user, the expectation over all other items in the place of drawn negatives.

    mean_p log(1 + sum_n w_n exp((||u - p||^2 - ||u - n||^2) / t)), p over the history, n over all items outside it.

    Args:
        user: Array[D].
        items: Array[I, D].
        history: Array[length] int32 of distinct ids, filled up with I; at least one is an item.
        log_weights: Array[I], log w.
        temperature: t, in units of squared distance.

    Returns:
        Scalar.
    """
    # ||u||^2 is left out, since it cancels. Full precision, as for ranking.
    products = jnp.matmul(items, user, precision=jax.lax.Precision.HIGHEST)
    scores = (2.0 * products - jnp.sum(jnp.square(items), axis=1)) / temperature
    others = jax.nn.logsumexp(scores + log_weights.at[history].set(_NO_WEIGHT, mode="drop"))
    real = history < items.shape[0]
    own = scores.at[history].get(mode="fill", fill_value=0.0)
    return jnp.sum(jnp.where(real, jax.nn.softplus(others - own), 0.0)) / jnp.sum(real)


@functools.partial(jax.jit, static_argnames="constraint")
def _solve(items: Array, log_weights: Array, histories: Array, margin: Array, *, constraint: str) -> Array:
    """Points Array[c, D] of the users with histories Array[c, length], from the means of their items."""
    scale = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(items), axis=1)))
    optimizer = optax.adam(_STEP_SIZE * scale)

    def point(rows):
        if constraint == "sphere":
            return to_sphere(rows)
        # A parametrisation, because Adam with a projection after each step stops at the wrong place of the ball.
        # Without a constraint the ball is that of the items: the softmax would push users outwards for ever.
        radius = 1.0 if constraint == "ball" else scale
        return radius * to_ball(rows / radius)

    def loss(row, history):
        return history_loss(point(row), items, history, log_weights, _TEMPERATURE * margin)

    def mean_item(history):
        known = items.at[history].get(mode="fill", fill_value=0.0)
        return point(jnp.sum(known, axis=0) / jnp.sum(history < items.shape[0]))

    def step(carry, _):
        rows, state = carry
        updates, state = optimizer.update(jax.vmap(jax.grad(loss))(rows, histories), state)
        return (rows + jnp.asarray(updates), state), None

    start = jax.vmap(mean_item)(histories)
    (rows, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=_NUM_STEPS)
    return point(rows)
