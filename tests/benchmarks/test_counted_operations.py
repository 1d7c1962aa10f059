import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.counted_operations import count, name_of

TABLE, ROWS = jnp.zeros((50, 6)), jnp.arange(4)


def test_products_count_twice_their_size_by_precision():
    def products(a, b):
        return a @ b, jnp.matmul(b.T, a.T, precision="highest"), jnp.einsum("ij,ij->i", a, a)

    found = count(products, jnp.zeros((3, 7)), jnp.zeros((7, 5)))
    assert found.products == {"default": 2 * 3 * 7 * 5 + 2 * 3 * 7, "highest": 2 * 3 * 7 * 5}
    assert found.flop == 4 * 3 * 7 * 5 + 2 * 3 * 7 and found.kernels == 3
    batched = count(jax.vmap(lambda a, b: a @ b), jnp.zeros((9, 3, 7)), jnp.zeros((9, 7, 5)))
    assert batched.flop == 9 * 2 * 3 * 7 * 5


def test_what_is_inside_loops_counts_as_often_as_they_run():
    def loops(x):
        for _ in range(2):
            x, _ = jax.lax.scan(lambda x, _: (jax.jit(jnp.exp)(x @ x), None), x, length=5)
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.sin(x), x)

    found = count(loops, jnp.zeros((4, 4)))
    assert found.flop == 10 * 2 * 4**3 and found.transcendental == (10 + 3) * 16
    assert found.kernels == 10 + 3 and not found.named


def doubled(x):
    return 2.0 * x


def test_loops_over_data_and_branches_count_as_often_as_is_said():
    def program(x):
        def more(carry):
            return jnp.any(carry < 9.0)

        x = jax.lax.while_loop(more, doubled, x)
        return jax.lax.cond(x[0] > 0, jnp.exp, lambda x: x, x)

    assert name_of(doubled) == "test_counted_operations.doubled"
    once, often = (count(program, jnp.ones(8), times=times) for times in ({}, {name_of(doubled): 10.0}))
    assert once.named[name_of(doubled)] == 1 and often.named[name_of(doubled)] == 10
    # Eight numbers are doubled and compared, and the comparisons are reduced to one.
    assert often.elementwise - once.elementwise == 9 * (8 + 8 + 8)
    assert once.transcendental == 8
    [branch] = [name for name in once.named if name != name_of(doubled)]
    assert count(program, jnp.ones(8), times={branch: 0.25}).transcendental == 2


def test_branches_by_platform_are_those_of_accelerators():
    def program(x):
        return jax.lax.platform_dependent(x, cpu=lambda x: jnp.sin(x) + jnp.cos(x), default=jnp.exp)

    assert count(program, jnp.ones(8)).transcendental == 8


def test_least_bytes_are_those_of_rows_that_are_gathered_and_scattered():
    def update(table, rows):
        new = jnp.exp(table[rows]) @ jnp.eye(6)
        return table.at[rows].set(new), jnp.sum(new)

    found = count(update, TABLE, ROWS)
    rows = 4 * 6 * 4
    assert found.bytes_read == rows + 4 * 4  # the rows, and their numbers, which are an argument too
    assert found.bytes_written == rows + 4  # the rows, and the sum
    added = count(lambda table, rows: table.at[rows].add(1.0), TABLE, ROWS)
    assert added.bytes_read == rows + 4 * 4 and added.bytes_written == rows


def test_arguments_read_as_a_whole_count_once_and_other_results_are_written():
    def program(table, other):
        def body(x, _):
            return x + jnp.sum(table @ table.T) + jnp.sum(table.reshape(-1)[ROWS]), None

        return jax.lax.scan(body, 0.0, length=7)[0], 2.0 * other

    found = count(program, TABLE, jnp.zeros(11))
    assert found.bytes_read == TABLE.nbytes + 7 * 4 * 4 + 11 * 4 + ROWS.nbytes
    assert found.bytes_written == 4 + 11 * 4


def test_tables_that_a_branch_replaces_are_written_at_its_share():
    def average(table, mean, step):
        def moved():
            return mean + 0.5 * (table - mean)

        return jax.lax.cond(step % 32 == 0, moved, lambda: mean)

    found = count(average, TABLE, TABLE, jnp.int32(0), times={"test_counted_operations.moved": 1 / 32})
    assert found.bytes_written == TABLE.nbytes / 32
    assert found.bytes_read == 2 * TABLE.nbytes / 32 + 4
    assert found.bytes_between == found.bytes_read + found.bytes_written and found.kernels == 0


def test_bytes_between_kernels_are_operands_and_results():
    found = count(lambda a, b: jnp.sum(jnp.exp(a @ b)), jnp.zeros((3, 7)), jnp.zeros((7, 5)))
    assert found.bytes_between == 4 * (21 + 35 + 15) + 4 * (15 + 1)
    assert found.least_bytes == 4 * (21 + 35 + 1) and found.kernels == 1


def test_carries_that_loops_replace_are_no_arguments_after_the_first_round():
    def program(table):
        return jax.lax.scan(lambda x, _: (x + 1.0, x[0]), table, length=3)

    found = count(program, TABLE)
    assert found.bytes_read == 0 and found.bytes_written == TABLE.nbytes + 3 * 6 * 4
    kept = count(lambda t: jax.lax.scan(lambda x, _: (x.at[0].set(1.0), x[1]), t, length=3), TABLE)
    assert kept.bytes_read == 3 * 6 * 4 and kept.bytes_written == 3 * 6 * 4 + 3 * 6 * 4


def test_unknown_primitives_are_named():
    assert count(lambda x: jnp.convolve(x, x), jnp.ones(8)).uncounted == {"conv_general_dilated"}


@pytest.mark.parametrize("shape", [(), (5,)])
def test_random_numbers_are_words(shape):
    found = count(lambda key: jax.random.uniform(key, (3, *shape)), jax.random.key(0))
    assert found.random_words == 3 * (5 if shape else 1) and not found.uncounted
