"""Programs lowered for accelerators without one, and what must not be in them."""

import collections
from typing import Any

import jax
from jax.extend.core import Jaxpr
from jaxlib.mlir import ir

PLATFORMS = ("cuda", "tpu")
# Of the compiler itself. Any other is code of somebody's for one platform.
DIALECTS = {"builtin", "chlo", "func", "sdy", "stablehlo"}
# Target of a custom call -> why it may be there. None so far, neither for cuda nor for tpu: all programs consist of the
# compiler's operations, so that no library of a CPU (LAPACK), no function of Python and no vendor's kernel is called.
CUSTOM_CALLS: dict[str, str] = {}
# What waits for the host, or hands over to it.
HOST_OPERATIONS = {"after_all", "create_token", "infeed", "outfeed", "recv", "send"}
HOST_PRIMITIVES = {"debug_print", "device_put", "infeed", "outfeed"}  # and all callbacks
_HOLDERS = {"call", "case", "constant", "func", "module", "return"}
_BRANCHES = (("cpu",), None)  # of `jax.lax.platform_dependent`: one for CPU by name, and one for all others


def equations(jaxpr: Jaxpr):
    """Equations of a program and of all programs inside it, of branches by platform those of accelerators alone."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def inner_jaxprs(equation) -> list[Jaxpr]:
    flat = jax.tree.leaves([*equation.params.values()], is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr"))
    found = [getattr(value, "jaxpr", value) for value in flat]
    found = [value for value in found if isinstance(value, Jaxpr)]
    return found[-1:] if equation.params.get("branches_platforms") == _BRANCHES else found


def assert_stays_on_the_device(jaxpr: Jaxpr):
    for equation in equations(jaxpr):
        name = equation.primitive.name
        assert name not in HOST_PRIMITIVES and not name.endswith("_callback"), f"{name} goes back to the host"


def depends_on_the_platform(jaxpr: Jaxpr) -> bool:
    """Whether a branch is taken by platform; all such have one for CPU and one for all others."""
    found = [e.params["platforms"] for e in equations(jaxpr) if e.primitive.name == "platform_index"]
    assert all(branches == _BRANCHES for branches in found), f"{found} treat an accelerator otherwise than the default"
    return bool(found)


def _walk(operation):
    yield operation
    for region in operation.regions:
        for block in region:
            for inner in block:
                yield from _walk(inner.operation)


def operations(lowered: Any) -> collections.Counter[str]:
    """How often each operation stands in a lowered program, with the types it works on; nothing that only holds it."""
    found: collections.Counter[str] = collections.Counter()
    for operation in _walk(lowered.compiler_ir("stablehlo").operation):
        if operation.name.partition(".")[2] in _HOLDERS:
            continue
        types = [str(value.type) for value in (*operation.operands, *operation.results)]
        found[f"{operation.name} {' '.join(types)}"] += 1
    return found


def assert_is_for_accelerators(lowered: Any):
    """Operations of the compiler alone, none of which waits for the host."""
    for operation in _walk(lowered.compiler_ir("stablehlo").operation):
        dialect, _, name = operation.name.partition(".")
        assert dialect in DIALECTS, f"{operation.name} is not the compiler's"
        assert name not in HOST_OPERATIONS, f"{operation.name} goes back to the host"
        if name == "custom_call":
            target = ir.StringAttr(operation.attributes["call_target_name"]).value
            assert target in CUSTOM_CALLS, f"custom call {target}; say in CUSTOM_CALLS why it may be there"


def lower(program: Any, *arguments: Any, **static: Any) -> tuple[Jaxpr, Any]:
    """The equations of a jitted function and the program lowered for cuda and tpu, both checked."""
    traced = program.trace(*arguments, **static)
    assert_stays_on_the_device(traced.jaxpr.jaxpr)
    depends_on_the_platform(traced.jaxpr.jaxpr)
    lowered = traced.lower(lowering_platforms=PLATFORMS)
    assert_is_for_accelerators(lowered)
    return traced.jaxpr.jaxpr, lowered
