"""Points of users that training has not seen, from their items alone; the items' points stay where they are."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cml_jax.data.interactions import Interactions
from cml_jax.strategies import Options
from cml_jax.table_kinds import with_context, with_rows
from cml_jax.types import Array, DeviceInteractions, Factors, Params, Ranking, Score

# Chosen on validation items of Last.fm users left out of training.
NUM_STEPS = 50
STEP_SIZE = 0.1  # in units of the items' root mean square norm
TEMPERATURE = 0.5  # in units of the loss's scale
_EXPONENT = 0.25  # of popularity, in the weight of an item as a negative
_NO_WEIGHT = -1e30  # the logarithm of it; finite, so that gradients are
BYTES_PER_SCORE = 20  # scores, exponentials and their gradients
_MAX_CHUNK = 256


def fold_in(
    options: Options,
    params: Params,
    data: DeviceInteractions,
    histories: Interactions,
    *,
    memory_budget_mb: float = 512.0,
) -> np.ndarray:
    """Rows of new users: what minimises `history_loss` by a fixed number of steps of Adam, deterministically.

    Args:
        options: of the model, whose norm constraint and scores hold for new users too.
        params: of the model; only the table of the users is not used.
        data: training interactions; popular items weigh more as negatives.
        histories: items of each new user, at least one.
        memory_budget_mb: bound on the scores of the users solved at once, in MiB; at least one user is.

    Returns:
        ndarray[n, ...] float32, as the rows of the table 'users'.
    """
    params, ranking = jax.jit(_prepared)(options, params, data)
    if isinstance(ranking, Score):
        bytes_per_score = BYTES_PER_SCORE + 8 * ranking.row_numbers
    else:
        vectors = ranking.queries.shape[1] if ranking.queries.ndim == 3 else 1
        bytes_per_score = BYTES_PER_SCORE + 8 * (vectors - 1)
    log_weights = jax.jit(negative_weights)(data.popularity)
    return in_chunks(
        lambda here: _solve(options, params, data, ranking, log_weights, here),
        histories,
        params.tables["users"].shape[1:],
        memory_budget_mb * 2**20 / (bytes_per_score * data.num_items),
    )


def in_chunks(
    solve: Callable[[Array], Array], histories: Interactions, shape: tuple[int, ...], at_once: float
) -> np.ndarray:
    """Rows ndarray[n, *shape] float32 of n histories, some at a time.

    Args:
        solve: histories Array[c, m] bool -> rows Array[c, *shape].
        histories: n rows of m columns.
        shape: of a row.
        at_once: how many fit into memory; at least one is solved.
    """
    size = max(1, min(int(at_once), _MAX_CHUNK, histories.num_users))
    found = np.empty((histories.num_users, *shape), np.float32)
    for start in range(0, len(found), size):
        rows = np.arange(start, start + size) % len(found)  # the last chunk repeats some, to keep the shape
        found[start : start + size] = np.asarray(solve(dense(histories, rows)))[: len(found) - start]
    return found


def dense(histories: Interactions, rows: np.ndarray) -> Array:
    """Some rows, ndarray[c], of n histories of m columns, as Array[c, m] bool."""
    here = np.zeros((len(rows), histories.num_items), bool)
    for place, row in enumerate(rows.tolist()):
        here[place, histories.row(row)] = True
    return jnp.asarray(here)


def _prepared(options: Options, params: Params, data: DeviceInteractions) -> tuple[Params, Ranking]:
    """The parameters with what ranking reads of the training pairs, and the ranking."""
    model = options.make_model()
    known = with_context(model, params, data)
    return known, model.ranking(known, data)


def negative_weights(popularity: Array) -> Array:
    """Array[I] -> Array[I], logarithms of weights of sum 1; items without a training user have next to none."""
    weights = jnp.where(popularity > 0, jnp.maximum(popularity, 1.0) ** _EXPONENT, 0.0)
    return jnp.where(popularity > 0, jnp.log(weights / jnp.sum(weights)), _NO_WEIGHT)


def history_loss(scores: Array, history: Array, log_weights: Array, temperature: Array | float) -> Array:
    """Softmax loss of one user, the expectation over all other items in the place of drawn negatives.

    mean_p log(1 + sum_n w_n exp((s_n - s_p) / t)), p over the history, n over all items outside it.

    Args:
        scores: Array[I], s, such as -||u - i||^2; a term of the user alone may be left out, since it cancels.
        history: Array[I] bool, p; at least one. Not a list of ids, which would be as long as the longest one of any
            user who is solved at the same time.
        log_weights: Array[I], log w.
        temperature: t, in units of the scores.

    Returns:
        Scalar.
    """
    scores = scores / temperature
    others = jax.nn.logsumexp(scores + jnp.where(history, _NO_WEIGHT, log_weights))
    return jnp.sum(jnp.where(history, jax.nn.softplus(others - scores), 0.0)) / jnp.sum(history)


def scores_of_row(
    options: Options, params: Params, data: DeviceInteractions, ranking: Ranking
) -> Callable[[Array, Array], Array]:
    """A function from a user's row and items Array[I] bool to the scores Array[I] of all items.

    The items are those that `ranking` has prepared; models with a context find it in `params`.
    """
    model = options.make_model()

    def scores(row, history):
        alone = model.ranking(with_rows(model, params, "user", row[None], history[None]), data)
        if isinstance(ranking, Factors):
            assert isinstance(alone, Factors)
            # Full precision, as for ranking.
            products = jnp.matmul(alone.queries[0], ranking.keys.T, precision=jax.lax.Precision.HIGHEST)
            return products if products.ndim == 1 else jnp.max(products, axis=0)
        assert isinstance(alone, Score)
        return ranking.score(alone.users, ranking.items, ranking.shared)[0]

    return scores


@jax.jit
def _solve(
    options: Options,
    params: Params,
    data: DeviceInteractions,
    ranking: Ranking,
    log_weights: Array,
    histories: Array,
) -> Array:
    """Rows of the users with histories Array[c, I] bool, from the means of their items' points.

    The parameters are those of `with_context`.
    """
    model = options.make_model()
    items = model.item_points(params.tables, params.dense, jnp.arange(data.num_items))
    scale = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(items), axis=1)))
    optimizer = optax.adam(STEP_SIZE * scale)
    scores = scores_of_row(options, params, data, ranking)
    shape = params.tables["users"].shape[1:]

    def loss(row, history):
        own = scores(model.parametrize_user(row, scale), history)
        return history_loss(own, history, log_weights, TEMPERATURE * options.make_loss().scale)

    def mean_item(history):
        total = jnp.matmul(history.astype(items.dtype), items, precision=jax.lax.Precision.HIGHEST)
        mean = total / jnp.sum(history)
        return model.parametrize_user(jnp.broadcast_to(mean, shape), scale)

    def step(carry, _):
        rows, state = carry
        updates, state = optimizer.update(jax.vmap(jax.grad(loss))(rows, histories), state)
        return (rows + jnp.asarray(updates), state), None

    start = jax.vmap(mean_item)(histories)
    (rows, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=NUM_STEPS)
    return jax.vmap(lambda row: model.parametrize_user(row, scale))(rows)
