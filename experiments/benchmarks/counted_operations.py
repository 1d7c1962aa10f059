"""Operations and bytes of a program, counted from its equations, for an accelerator that is not there.

What is inside a loop counts as often as the loop runs. What is counted, and how:

- products: 2 B M N K FLOP of a product [B, M, K] x [B, K, N], by the precision that it asks for;
- transcendental: results of exp, log, pow, sqrt, rsqrt, tanh and their like;
- elementwise: results of all other arithmetic, comparisons, selections and casts, and terms of sums;
- random words: 32-bit words of the generator, whose own arithmetic is not among the elementwise;
- least bytes: what must be read and written of the arguments and results: rows gathered, rows scattered (those added
  to are read too), each time; arguments that are read as a whole, once; results that are no updated argument. All that
  lies between is taken to stay on the chip;
- bytes between kernels: operands and results of products, sums, sorts, gathers and scatters (of the latter two the
  rows alone), and what elementwise work reads of the arguments, as if only such work were fused into them;
- kernels: products, sorts, scatters and running sums, and one a round of each loop that has none of them; elementwise
  work, gathers and sums are taken to be fused with them. About: compilers fuse small products too.

Loops whose rounds depend on the data, and branches, count as often as the caller says, once by default; `Counts.named`
lists them.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, Literal


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TRANSCENDENTAL = _names(
    "acos acosh asin asinh atan atan2 atanh cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1 lgamma log log1p "
    "logistic pow rsqrt sin sinh sqrt tan tanh"
)
_ELEMENTWISE = _names(
    "abs add add_any and ceil clamp convert_element_type div eq floor ge gt integer_pow is_finite le le_to lt lt_to "
    "max min mul ne neg nextafter not or population_count reduce_precision rem round select_n shift_left "
    "shift_right_arithmetic shift_right_logical sign square sub xor"
)
_REDUCTIONS = _names("argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor")
_RUNNING = _names("cumlogsumexp cummax cummin cumprod cumsum")
_SCATTERS = _names("scatter scatter-add scatter-max scatter-min scatter-mul")
_MOVED = _names("concatenate dynamic_slice dynamic_update_slice gather pad sort top_k")
_SAME_MEMORY = _names("bitcast_convert_type copy expand_dims optimization_barrier pvary reshape squeeze transpose")
_FREE = _SAME_MEMORY | _names(
    "axis_index broadcast_in_dim iota platform_index random_fold_in random_seed random_split random_unwrap random_wrap "
    "rev slice split stop_gradient"
)
_ALONE = _names("dot_general sort top_k") | _SCATTERS | _RUNNING  # a kernel each


@dataclasses.dataclass
class Counts:
    """What a program takes; see the module.

    Attributes:
        products: precision ('default', 'high' or 'highest') -> FLOP.
        named: loops of unknown length and branches -> how often they were counted.
        uncounted: primitives that nothing is known of.
    """

    products: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    transcendental: float = 0.0
    elementwise: float = 0.0
    random_words: float = 0.0
    bytes_read: float = 0.0
    bytes_written: float = 0.0
    bytes_between: float = 0.0
    kernels: float = 0.0
    named: dict[str, float] = dataclasses.field(default_factory=dict)
    uncounted: set[str] = dataclasses.field(default_factory=set)

    @property
    def flop(self) -> float:
        """FLOP of all products."""
        return float(sum(self.products.values()))

    @property
    def least_bytes(self) -> float:
        """Bytes of arguments and results."""
        return self.bytes_read + self.bytes_written


def count(function: Callable[..., Any], *arguments: Any, times: Mapping[str, float] | None = None) -> Counts:
    """Counts of a function at arguments, or their shapes.

    Args:
        function: is traced and not run.
        *arguments: trees of arrays or `jax.ShapeDtypeStruct`; they are where the least bytes come from.
        times: how often a loop or a branch runs, by the file and name of its function, such as 'hashing.one_round'.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    counter = _Counter(times or {})
    # Constants of a program stand in memory, as its arguments do.
    inputs = [*closed.jaxpr.constvars, *closed.jaxpr.invars]
    outputs = counter.walk(closed.jaxpr, list(range(len(inputs))), 1.0)
    found = counter.counts
    for place, share in counter.whole.items():
        found.bytes_read += share * _bytes(inputs[place])
    for place, share in counter.streamed.items():
        found.bytes_between += share * _bytes(inputs[place])
    found.bytes_written += sum(
        _bytes(v) for v, place in zip(closed.jaxpr.outvars, outputs, strict=True) if place is None
    )
    return found


def name_of(function: Callable[..., Any]) -> str:
    """File and name of a Python function, as `count` names loops."""
    while hasattr(function, "func"):
        function = function.func  # pyright: ignore[reportFunctionMemberAccess]
    return f"{Path(function.__code__.co_filename).stem}.{function.__name__}"


def _name_of_traced(jaxpr: Jaxpr) -> str:
    name, _, place = str(jaxpr.debug_info.func_src_info).partition(" at ")
    return f"{Path(place.rpartition(':')[0]).stem}.{name}"


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)


def _bytes(variable: Any) -> int:
    dtype = variable.aval.dtype
    each = 8 if jnp.issubdtype(dtype, jax.dtypes.prng_key) else np.dtype(dtype).itemsize
    return _size(variable) * each


Places = list[int | None]  # for each variable, which argument of the whole program it stands for, if any


class _Counter:
    """Walks through the equations of a program and those inside it."""

    def __init__(self, times: Mapping[str, float]) -> None:
        self.counts = Counts()
        self.whole: dict[int, float] = {}  # arguments that are read as a whole: how often a program, at most once
        self.streamed: dict[int, float] = {}  # those among them that elementwise work reads
        self._times = times

    def walk(self, jaxpr: Jaxpr, inputs: Places, times: float) -> Places:
        """Counts equations `times` times; where inputs stand -> where outputs do."""
        places = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))

        def place(variable: Any) -> int | None:
            return None if isinstance(variable, Literal) else places.get(variable)

        for equation in jaxpr.eqns:
            found = self._equation(equation, [place(v) for v in equation.invars], times)
            places |= zip(equation.outvars, found, strict=True)
        return [place(variable) for variable in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: Places, times: float) -> Places:
        name, inner = equation.primitive.name, _inner(equation)
        if name == "scan":
            return self._scan(equation, inputs, times)
        if name == "while":
            return self._while(equation, inputs, times)
        if name == "cond":
            return self._branches(equation, inputs, times)
        if inner and name not in _SCATTERS:
            return self.walk(inner[0], [None] * len(inner[0].constvars) + inputs, times)
        self._operations(equation, times)
        return self._memory(equation, inputs, times)

    def _scan(self, equation: Any, inputs: Places, times: float) -> Places:
        body, length = equation.params["jaxpr"].jaxpr, equation.params["length"]
        consts, carried = equation.params["num_consts"], equation.params["num_carry"]
        self._read_whole(inputs[consts + carried :], times)
        kept = [*inputs[: consts + carried], *[None] * (len(inputs) - consts - carried)]
        found = self._rounds([body], [kept], slice(consts, consts + carried), times * length)
        return [*found[:carried], *[None] * (len(equation.outvars) - carried)]

    def _while(self, equation: Any, inputs: Places, times: float) -> Places:
        body, condition = (equation.params[key].jaxpr for key in ("body_jaxpr", "cond_jaxpr"))
        split, end = equation.params["cond_nconsts"], equation.params["cond_nconsts"] + equation.params["body_nconsts"]
        rounds = self._named(body, times)
        kept = [[*inputs[split:end], *inputs[end:]], [*inputs[:split], *inputs[end:]]]
        return self._rounds([body, condition], kept, slice(end - split, None), times * rounds)

    def _rounds(self, parts: Sequence[Jaxpr], inputs: list[Places], carried: slice, times: float) -> Places:
        """Counts a loop's body and what comes after it; where the carry stands after."""
        own = _Counter(self._times)
        before, after = inputs[0][carried], own.walk(parts[0], inputs[0], 0.0)
        # What is not updated in place is another array from the second round on.
        same = [place if place == then else None for place, then in zip(before, after, strict=False)]
        launched = self.counts.kernels
        for part, places in zip(parts, inputs, strict=True):
            others = len(places) - len(before) if part is not parts[0] else carried.start
            last = others + len(before)
            self.walk(part, [*places[:others], *same, *places[last:]], times)
        if self.counts.kernels == launched:
            self.counts.kernels += times
        return same

    def _branches(self, equation: Any, inputs: Places, times: float) -> Places:
        branches = [branch.jaxpr for branch in equation.params["branches"]]
        if equation.params.get("branches_platforms") is not None:
            taken = equation.params["branches_platforms"].index(None)  # that of all platforms without one of their own
            return self.walk(branches[taken], inputs[1:], times)
        outputs = []
        for branch in branches:
            share = self._named(branch, times) if branch.eqns else 1.0
            outputs.append((self.walk(branch, inputs[1:], times * share), share))
        after: Places = []
        for variable, *found in zip(equation.outvars, *(places for places, _ in outputs), strict=True):
            place = next((p for p in found if p is not None), None)
            for p, (_, share) in zip(found, outputs, strict=True):
                if place is not None and p is None:  # the argument becomes another array
                    self.counts.bytes_written += times * share * _bytes(variable)
                    self.counts.bytes_between += times * share * _bytes(variable)
            after.append(place)
        return after

    def _named(self, jaxpr: Jaxpr, times: float) -> float:
        name = _name_of_traced(jaxpr)
        if times:
            self.counts.named[name] = self._times.get(name, 1.0)
        return self._times.get(name, 1.0)

    def _operations(self, equation: Any, times: float) -> None:
        name, counts = equation.primitive.name, self.counts
        results = times * sum(map(_size, equation.outvars))
        terms = times * sum(map(_size, equation.invars))
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            counts.products[_precision(equation)] += int(2 * results * depth)
        elif name in _TRANSCENDENTAL:
            counts.transcendental += results
        elif name in _ELEMENTWISE:
            counts.elementwise += results
        elif name in _REDUCTIONS | _RUNNING:
            counts.elementwise += terms
        elif name == "random_bits":
            counts.random_words += results
        elif name not in _FREE | _MOVED | _SCATTERS:
            counts.uncounted.add(name)
        if name in _ALONE:
            counts.kernels += times

    def _memory(self, equation: Any, inputs: Places, times: float) -> Places:
        """Counts bytes; where the results stand."""
        name, counts, results = equation.primitive.name, self.counts, equation.outvars
        moved = sum(map(_bytes, results))
        if name in _SCATTERS or name == "dynamic_update_slice":
            updates = equation.invars[2 if name in _SCATTERS else 1]
            size = times * _bytes(updates)
            counts.bytes_between += 2 * size + times * _bytes(equation.invars[1])
            if inputs[0] is not None:
                counts.bytes_written += size
                counts.bytes_read += size * (name not in ("scatter", "dynamic_update_slice"))
            self._read_whole(inputs[1:], times)
            return [inputs[0]]
        if name in ("gather", "dynamic_slice", "slice"):
            counts.bytes_between += 0 if name == "slice" else times * 2 * moved
            counts.bytes_read += times * moved * (inputs[0] is not None)
            self._read_whole(inputs[1:], times)
            return [None]
        if name in _SAME_MEMORY:
            return list(inputs)
        alone = name in _ALONE | _REDUCTIONS
        if alone:
            counts.bytes_between += times * (moved + sum(map(_bytes, equation.invars)))
        self._read_whole(inputs, times, streamed=not alone)
        return [None] * len(results)

    def _read_whole(self, places: Places, times: float, streamed: bool = True) -> None:
        for place in places:
            if place is not None and times:
                for read in (self.whole, self.streamed) if streamed else (self.whole,):
                    read[place] = min(1.0, max(read.get(place, 0.0), times))


def _inner(equation: Any) -> list[Jaxpr]:
    """The programs among an equation's parameters."""

    def found() -> Iterator[Jaxpr]:
        for value in equation.params.values():
            for one in value if isinstance(value, tuple | list) else (value,):
                one = getattr(one, "jaxpr", one)
                if isinstance(one, Jaxpr):
                    yield one

    return list(found())


def _precision(equation: Any) -> str:
    asked = equation.params["precision"]
    asked = asked[0] if isinstance(asked, tuple) else asked
    return "default" if asked is None else asked.name.lower()
