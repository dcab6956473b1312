"""What Python reads outside of a compiled function is never stale: each scenario changes it between calls.

A scenario returns a function, and the changes to make one after the other: before each and after it, the compiled
function gives what the plain one gives.
"""

from __future__ import annotations

import array
import collections
import contextvars
import dataclasses
import enum
import functools
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.compiler.bytecode import elements_read
from tinygrad_dl.compiler.guards import same

usermod = types.ModuleType("guarded_settings")
sys.modules["guarded_settings"] = usermod
SCENARIOS: dict[str, Callable[[], tuple[Callable[..., Any], list[Callable[[], Any]]]]] = {}


def scenario(make: Any) -> Any:
    SCENARIOS[make.__name__] = make
    return make


@scenario
def module_attr():
    usermod.SCALE = 2.0
    return (lambda x: x * usermod.SCALE), [lambda: setattr(usermod, "SCALE", 3.0)]


@scenario
def module_attr_local_alias():
    usermod.SCALE = 2.0

    def f(x):
        m = usermod
        return x * m.SCALE

    return f, [lambda: setattr(usermod, "SCALE", 3.0)]


@scenario
def module_attr_import_inside():
    usermod.SCALE = 2.0

    def f(x):
        import guarded_settings as um

        return x * um.SCALE

    return f, [lambda: setattr(usermod, "SCALE", 3.0)]


@scenario
def module_attr_from_import_inside():
    usermod.SCALE = 2.0

    def f(x):
        from guarded_settings import SCALE

        return x * SCALE

    return f, [lambda: setattr(usermod, "SCALE", 3.0)]


@scenario
def class_attr():
    class C:
        scale = 2.0

    return (lambda x: x * C.scale), [lambda: setattr(C, "scale", 3.0)]


@scenario
def class_attr_instance():
    class C:
        scale = 2.0

    c = C()
    return (lambda x: x * c.scale), [lambda: setattr(C, "scale", 3.0), lambda: setattr(c, "scale", 4.0)]


@scenario
def class_attr_base():
    class B:
        scale = 2.0

    class C(B):
        pass

    c = C()
    return (lambda x: x * c.scale), [lambda: setattr(B, "scale", 3.0), lambda: setattr(C, "scale", 4.0)]


@scenario
def class_attr_dict():
    class C:
        cfg = {"a": 2.0}

    return (lambda x: x * C.cfg["a"]), [lambda: C.cfg.__setitem__("a", 3.0)]


@scenario
def class_in_func_local():
    class C:
        scale = 2.0

    reg = {"k": C}
    return (lambda x: x * reg["k"].scale), [lambda: setattr(C, "scale", 3.0)]


@scenario
def method_patched():
    class C:
        def g(self, x):
            return x * 2

    c = C()
    return (lambda x: c.g(x)), [lambda: setattr(C, "g", lambda self, x: x * 3)]


@scenario
def forward_patched():
    class M(nn.Module):
        def forward(self, x):
            return x * 2

    m = M()
    return (lambda x: m(x)), [lambda: setattr(M, "forward", lambda self, x: x * 3)]


@scenario
def property_reads_class():
    class C:
        _s = 2.0

        @property
        def s(self):
            return type(self)._s

    c = C()
    return (lambda x: x * c.s), [lambda: setattr(C, "_s", 3.0)]


@scenario
def default_list():
    def g(x, s=[2.0]):  # noqa: B006
        return x * s[0]

    return (lambda x: g(x)), [lambda: g.__defaults__[0].__setitem__(0, 3.0)]


@scenario
def default_list_root():
    def g(x, s=[2.0]):  # noqa: B006
        return x * s[0]

    return g, [lambda: g.__defaults__[0].__setitem__(0, 3.0)]


@scenario
def defaults_replaced():
    def g(x, s=2.0):
        return x * s

    return (lambda x: g(x)), [lambda: setattr(g, "__defaults__", (3.0,))]


@scenario
def defaults_replaced_root():
    def g(x, s=2.0):
        return x * s

    return g, [lambda: setattr(g, "__defaults__", (3.0,))]


@scenario
def kwdefaults():
    def g(x, *, s=2.0):
        return x * s

    return (lambda x: g(x)), [lambda: g.__kwdefaults__.__setitem__("s", 3.0)]


@scenario
def kwdefault_root():
    def g(x, *, s={"a": 2.0}):  # noqa: B006
        return x * s["a"]

    return g, [lambda: g.__kwdefaults__["s"].__setitem__("a", 3.0)]


@scenario
def code_replaced():
    def g(x):
        return x * 2

    def h(x):
        return x * 3

    return (lambda x: g(x)), [lambda: setattr(g, "__code__", h.__code__)]


@scenario
def code_replaced_root():
    def g(x):
        return x * 2

    def h(x):
        return x * 3

    return g, [lambda: setattr(g, "__code__", h.__code__)]


@scenario
def func_attr():
    def g(x):
        return x * g.scale

    g.scale = 2.0
    return g, [lambda: setattr(g, "scale", 3.0)]


@scenario
def func_attr2():
    def g(x):
        return x * 2

    g.scale = 2.0
    return (lambda x: g(x) * g.scale), [lambda: setattr(g, "scale", 3.0)]


@scenario
def slots():
    class C:
        __slots__ = ("scale",)

    c = C()
    c.scale = 2.0
    return (lambda x: x * c.scale), [lambda: setattr(c, "scale", 3.0)]


@scenario
def slots_dataclass():
    @dataclasses.dataclass(slots=True)
    class C:
        scale: float = 2.0
        inner: list = None

    c = C(2.0, [1.0])
    return (lambda x: x * c.scale * c.inner[0]), [
        lambda: setattr(c, "scale", 3.0),
        lambda: c.inner.__setitem__(0, 5.0),
    ]


@scenario
def sets():
    s = {"a"}
    return (lambda x: x * 3 if "b" in s else x * 2), [
        lambda: s.add("b"),
        lambda: (s.discard("b"), s.add("c")),
    ]


@scenario
def set_same_len():
    s = {"a"}
    return (lambda x: x * 3 if "b" in s else x * 2), [lambda: (s.discard("a"), s.add("b"))]


@scenario
def deque():
    s = collections.deque([2.0])
    return (lambda x: x * s[0]), [lambda: s.__setitem__(0, 3.0)]


@scenario
def bytearr():
    s = bytearray([2])
    return (lambda x: x * s[0]), [lambda: s.__setitem__(0, 3)]


@scenario
def arr_array():
    s = array.array("d", [2.0])
    return (lambda x: x * s[0]), [lambda: s.__setitem__(0, 3.0)]


@scenario
def dict_order():
    d = {"a": lambda x: x + 1, "b": lambda x: x * 2}

    def f(x):
        for k in d:
            x = d[k](x)
        return x

    def ch():
        v = d.pop("a")
        d["a"] = v

    return f, [ch]


@scenario
def dict_values_order():
    d = {"a": 1.0, "b": 2.0}

    def f(x):
        for v in d.values():
            x = (x + 1) * v
        return x

    def ch():
        v = d.pop("a")
        d["a"] = v

    return f, [ch]


@scenario
def neg_zero():
    d = {"a": 0.0}
    return (lambda x: 1.0 / (x * d["a"])), [lambda: d.__setitem__("a", -0.0)]


@scenario
def np_elem():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * w[0]), [lambda: w.__setitem__(0, 5.0)]


@scenario
def np_elem_float():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * float(w[0])), [lambda: w.__setitem__(0, 5.0)]


@scenario
def np_elem_big():
    w = np.ones(300000, np.float32)
    return (lambda x: x * w[7]), [lambda: w.__setitem__(7, 5.0)]


@scenario
def np_branch():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * 2 if w[0] > 1 else x * 3), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_computed():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * (w * 2)), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_sumufunc():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * np.add(w, 1)[0]), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_reduce():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * np.add.reduce(w)), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_operand():
    w = np.array([2.0, 3.0], np.float32)
    return (lambda x: x * w), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_operand_f64():
    w = np.array([2.0, 3.0])
    return (lambda x: x * w), [lambda: w.__setitem__(0, -5.0)]


@scenario
def np_operand_int():
    w = np.array([2, 3])
    return (lambda x: x * w), [lambda: w.__setitem__(0, -5)]


@scenario
def np_index_array():
    w = np.array([0, 1])
    return (lambda x: x[w] * 2), [lambda: w.__setitem__(0, 1)]


@scenario
def np_bool_mask():
    w = np.array([True, False])
    return (lambda x: tg.where(w, x, x * 2)), [lambda: w.__setitem__(0, False)]


@scenario
def np_mask_index():
    w = np.array([True, False])
    return (lambda x: x[w] * 2), [lambda: w.__setitem__(1, True), lambda: w.__setitem__(0, False)]


@scenario
def np_in_list():
    w = [np.array([2.0, 3.0], np.float32)]
    return (lambda x: x * w[0]), [
        lambda: w[0].__setitem__(0, -5.0),
        lambda: w.__setitem__(0, np.array([7.0, 8.0], np.float32)),
    ]


@scenario
def np_view_operand():
    base = np.arange(4, dtype=np.float32)
    w = base[::2]
    return (lambda x: x * w), [lambda: base.__setitem__(0, -5.0)]


@scenario
def np_shape_inplace():
    w = np.arange(4, dtype=np.float32).reshape(2, 2)

    def ch():
        with warnings.catch_warnings():  # deprecated since NumPy 2.5
            warnings.simplefilter("ignore", DeprecationWarning)
            w.shape = (2, 2, 1)

    return (lambda x: x * w), [ch]


@scenario
def np_0d():
    w = np.array(2.0, np.float32)
    return (lambda x: x * w), [lambda: w.__setitem__((), 3.0)]


@scenario
def np_0d_float():
    w = np.array(2.0, np.float32)
    return (lambda x: x * float(w)), [lambda: w.__setitem__((), 3.0)]


@scenario
def np_object():
    w = np.array([2.0, 3.0], object)
    return (lambda x: x * w[0]), [lambda: w.__setitem__(0, 3.0)]


@scenario
def np_len_list_from_array():
    w = np.array([2, 3])
    return (lambda x: x.reshape(int(w[0]), -1).sum(axis=0)), [lambda: w.__setitem__(0, 1)]


@scenario
def tensor_data_index():
    w = tg.Tensor([2.0, 3.0])
    return (lambda x: x * w.data[0]), [lambda: w.data.__setitem__(0, 5.0)]


@scenario
def tensor_private_data():
    w = tg.Tensor([2.0, 3.0])
    return (lambda x: x * w[0]), [lambda: w.data.__setitem__(0, 5.0)]


@scenario
def tensor_rebind_data():
    w = tg.Tensor([2.0, 3.0])
    return (lambda x: x * w), [lambda: setattr(w, "data", np.array([5.0, 6.0], np.float32))]


@scenario
def tensor_rebind_shape():
    w = tg.Tensor([2.0, 3.0])
    return (lambda x: (x * w).sum() / w.size), [lambda: setattr(w, "data", np.ones((3, 2), np.float32))]


@scenario
def tensor_rebind_dtype():
    w = tg.Tensor([2.0, 3.0])
    return (lambda x: x * w), [lambda: setattr(w, "data", np.ones((2,), np.float64) * 3)]


@scenario
def tensor_rebind_fortran():
    w = tg.ones((2, 2))
    return (lambda x: x @ w), [
        lambda: setattr(w, "data", np.asfortranarray(np.arange(4.0, dtype=np.float32).reshape(2, 2)))
    ]


@scenario
def tensor_rebind_noncontig():
    w = tg.ones((2,))
    return (lambda x: x * w), [lambda: setattr(w, "data", np.arange(4.0, dtype=np.float32)[::-2])]


@scenario
def partial_list():
    o = [2.0]
    g = functools.partial(lambda s, x: x * s[0], o)
    return (lambda x: g(x)), [lambda: o.__setitem__(0, 3.0)]


@scenario
def partial_root():
    o = [2.0]
    g = functools.partial(lambda s, x: x * s[0], o)
    return g, [lambda: o.__setitem__(0, 3.0)]


@scenario
def partial_kw():
    o = {"a": 2.0}
    g = functools.partial(lambda x, s: x * s["a"], s=o)
    return (lambda x: g(x)), [lambda: o.__setitem__("a", 3.0)]


@scenario
def partial_keywords_changed():
    g = functools.partial(lambda x, s: x * s, s=2.0)
    return (lambda x: g(x)), [lambda: g.keywords.__setitem__("s", 3.0)]


@scenario
def bound_method_closure():
    class C:
        def __init__(s):
            s.a = 2.0

        def g(s, x):
            return x * s.a

    c = C()
    g = c.g
    return (lambda x: g(x)), [lambda: setattr(c, "a", 3.0)]


@scenario
def callable_instance_root():
    class C:
        def __init__(s):
            s.a = 2.0

        def __call__(s, x):
            return x * s.a

    c = C()
    return c, [lambda: setattr(c, "a", 3.0)]


@scenario
def callable_instance_slots_root():
    class C:
        __slots__ = ("a",)

        def __init__(s):
            s.a = 2.0

        def __call__(s, x):
            return x * s.a

    c = C()
    return c, [lambda: setattr(c, "a", 3.0)]


@scenario
def weakrefd():
    class C:
        pass

    c = C()
    c.a = 2.0
    r = weakref.ref(c)
    return (lambda x: x * r().a), [lambda: setattr(c, "a", 3.0)]


@scenario
def tlocal():
    l = threading.local()
    l.a = 2.0
    return (lambda x: x * l.a), [lambda: setattr(l, "a", 3.0)]


@scenario
def ctxvar():
    v = contextvars.ContextVar("v")
    v.set(2.0)
    return (lambda x: x * v.get()), [lambda: v.set(3.0)]


@scenario
def lru():
    s = [2.0]

    @functools.lru_cache
    def g():
        return s[0]

    def ch():
        s[0] = 3.0
        g.cache_clear()

    return (lambda x: x * g()), [ch]


@scenario
def cached_prop():
    class C:
        a = 2.0

        @functools.cached_property
        def s(self):
            return self.a

    c = C()
    assert c.s == 2.0
    return (lambda x: x * c.s), [lambda: c.__dict__.__setitem__("s", 3.0)]


@scenario
def getattr_dyn():
    class C:
        scale = 2.0

    c = C()
    n = "sca"
    return (lambda x: x * getattr(c, n + "le")), [lambda: setattr(C, "scale", 3.0)]


@scenario
def dunder_getattr():
    class C:
        def __init__(s):
            s.d = {"a": 2.0}

        def __getattr__(s, n):
            return s.__dict__["d"][n]

    c = C()
    return (lambda x: x * c.a), [lambda: c.d.__setitem__("a", 3.0)]


@scenario
def nested_objs():
    class C:
        pass

    a = C()
    a.b = C()
    a.b.c = [{"k": (1, C())}]
    a.b.c[0]["k"][1].v = 2.0
    return (lambda x: x * a.b.c[0]["k"][1].v), [lambda: setattr(a.b.c[0]["k"][1], "v", 3.0)]


@scenario
def enum_member():
    class E(enum.Enum):
        A = 1
        B = 2

    s = {"m": E.A}
    return (lambda x: x * 2 if s["m"] is E.A else x * 3), [lambda: s.__setitem__("m", E.B)]


@scenario
def closure_rebind():
    s = 2.0

    def setter(v):
        nonlocal s
        s = v

    return (lambda x: x * s), [lambda: setter(3.0), lambda: setter(4)]


@scenario
def int_to_float():
    s = {"a": 2}
    return (lambda x: x * s["a"]), [lambda: s.__setitem__("a", 2.5), lambda: s.__setitem__("a", True)]


@scenario
def global_deleted_builtin_shadow():
    g = {"__name__": "zz", "tg": tg}
    exec("def f(x):\n    return x*abs(-2)\n", g)
    return g["f"], [lambda: g.__setitem__("abs", lambda v: 7)]


@scenario
def global_added():
    g = {"__name__": "zz"}
    exec("def f(x):\n    try:\n        return x*S\n    except NameError:\n        return x*9\n", g)
    return g["f"], [lambda: g.__setitem__("S", 3.0)]


@scenario
def attr_added():
    class C:
        pass

    c = C()
    return (lambda x: x * getattr(c, "s", 2.0)), [lambda: setattr(c, "s", 3.0)]


@scenario
def attr_added_class():
    class C:
        pass

    c = C()
    return (lambda x: x * getattr(c, "s", 2.0)), [lambda: setattr(C, "s", 3.0)]


@scenario
def hasattr_mod():
    if hasattr(usermod, "T"):
        del usermod.T
    return (lambda x: x * getattr(usermod, "T", 2.0)), [lambda: setattr(usermod, "T", 3.0)]


@scenario
def many_list():
    l = [1.0] * 5000
    l[77] = 2.0
    return (lambda x: x * l[77]), [lambda: l.__setitem__(77, 3.0)]


@scenario
def many_dict():
    l = dict.fromkeys(range(5000), 1.0)
    l[77] = 2.0
    return (lambda x: x * l[77]), [lambda: l.__setitem__(77, 3.0)]


@scenario
def tuple_with_list():
    l = ([2.0],)
    return (lambda x: x * l[0][0]), [lambda: l[0].__setitem__(0, 3.0)]


@scenario
def tuple_with_negzero():
    d = {"a": (0.0,)}
    return (lambda x: 1.0 / (x * d["a"][0])), [lambda: d.__setitem__("a", (-0.0,))]


@scenario
def tuple_int_float():
    d = {"a": (2,)}
    return (lambda x: tg.ones((2,), dtype="int32") * d["a"][0]), [lambda: d.__setitem__("a", (2.0,))]


@scenario
def frozenset_of():
    d = {"a": frozenset([1])}
    return (lambda x: x * len(d["a"])), [lambda: d.__setitem__("a", frozenset([1, 2]))]


@scenario
def userdict():
    d = collections.UserDict(a=2.0)
    return (lambda x: x * d["a"]), [lambda: d.__setitem__("a", 3.0)]


@scenario
def simplens():
    d = types.SimpleNamespace(a=2.0)
    return (lambda x: x * d.a), [lambda: setattr(d, "a", 3.0)]


@scenario
def mappingproxy():
    b = {"a": 2.0}
    d = types.MappingProxyType(b)
    return (lambda x: x * d["a"]), [lambda: b.__setitem__("a", 3.0)]


@scenario
def chainmap():
    b = {"a": 2.0}
    d = collections.ChainMap({}, b)
    return (lambda x: x * d["a"]), [lambda: b.__setitem__("a", 3.0)]


@scenario
def listsub():
    class L(list):
        pass

    l = L([2.0])
    l.k = 1.0
    return (lambda x: x * l[0] * l.k), [lambda: l.__setitem__(0, 3.0), lambda: setattr(l, "k", 5.0)]


@scenario
def dictsub():
    class L(dict):
        pass

    l = L(a=2.0)
    l.k = 1.0
    return (lambda x: x * l["a"] * l.k), [lambda: l.__setitem__("a", 3.0), lambda: setattr(l, "k", 5.0)]


@scenario
def generator_closure():
    def gen():
        i = 0
        while True:
            i += 1
            yield float(i // 100)

    g = gen()
    return (lambda x: x * next(g)), [lambda: [next(g) for _ in range(300)]]


@scenario
def mod_function_patched():
    usermod.fn = lambda x: x * 2
    return (lambda x: usermod.fn(x)), [lambda: setattr(usermod, "fn", lambda x: x * 3)]


@scenario
def staticm():
    class C:
        s = 2.0

        @staticmethod
        def f(x):
            return x * C.s

    return C.f, [lambda: setattr(C, "s", 3.0)]


@scenario
def classm():
    class C:
        s = 2.0

        @classmethod
        def f(cls, x):
            return x * cls.s

    return C.f, [lambda: setattr(C, "s", 3.0)]


@scenario
def type_of_self():
    class C:
        s = 2.0

        def f(self, x):
            return x * type(self).s

    return C().f, [lambda: setattr(C, "s", 3.0)]


@scenario
def super_attr():
    class B:
        s = 2.0

    class C(B):
        def f(self, x):
            return x * super().s

    return C().f, [lambda: setattr(B, "s", 3.0)]


@scenario
def class_swapped():
    class B:
        s = 2.0

    class C(B):
        s = 3.0

    b = B()
    return (lambda x: x * b.s), [lambda: setattr(b, "__class__", C)]


@scenario
def memoryview_():
    b = bytearray([2])
    m = memoryview(b)
    return (lambda x: x * m[0]), [lambda: b.__setitem__(0, 3)]


@scenario
def np_generic_in_closure():
    d = {"a": np.float32(2)}
    return (lambda x: x * d["a"]), [lambda: d.__setitem__("a", np.float32(3))]


@scenario
def nested_fn_default():
    s = [2.0]

    def f(x):
        def g(y, k=s):
            return y * k[0]

        return g(x)

    return f, [lambda: s.__setitem__(0, 3.0)]


@scenario
def module_buffer_numpy():
    class M(nn.Module):
        def __init__(s):
            s.k = np.array([2.0, 2.0], np.float32)

        def forward(s, x):
            return x * s.k[0]

    m = M()
    return (lambda x: m(x)), [lambda: m.k.__setitem__(0, 3.0)]


# What no guard can compare is read eagerly, and this is told.
EAGER = {
    "np_computed": "multiply reads a value that Python computed: it differs from call to call",
    "np_elem_big": "it can read w, ndarray of 300000 entries, too many to compare at every call: pass what it reads as "
    "an argument",
    "np_object": "it can read w, an array of objects",
    "np_reduce": "NumPy's reduce computes outside of the graph",
    "tensor_data_index": "Tensor.data reads values in Python",
    "tlocal": "l has attributes of each thread's own",
    "ctxvar": "it calls ContextVar.get",
    "many_list": "it can read l, list of 5000 entries, too many to compare at every call: pass what it reads as an "
    "argument",
    "many_dict": "it can read l, dict of 5000 entries, too many to compare at every call: pass what it reads as an "
    "argument",
    "generator_closure": "g is an iterator, which moves on at every call",
}
LLVM = [name for name in SCENARIOS if name.startswith(("np_", "tensor_", "class_", "module_"))]
CASES = [(name, "numpy") for name in SCENARIOS]
if find_spec("llvmlite") is not None:
    CASES += [(name, "llvm") for name in LLVM]


@pytest.mark.parametrize(("name", "backend"), CASES)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_nothing_is_stale_when_this_changes(name: str, backend: str) -> None:
    function, changes = SCENARIOS[name]()
    compiled = tg.compile(function, backend=backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for change in [*changes, lambda: None]:
            for i in range(4):
                x = tg.Tensor([1.0 + i, 2.0])
                expected, got = function(x).numpy(), compiled(x).numpy()
                assert got.dtype == expected.dtype and got.shape == expected.shape
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
            change()
    told = [str(w.message) for w in caught if "divide by zero" not in str(w.message)]
    if name in EAGER:
        assert len(told) == 1 and f"runs eagerly: {EAGER[name]}" in told[0], told
    else:
        assert not told


def test_values_that_cannot_change_are_compared_exactly() -> None:
    assert same(1.0, 1.0) and same(float("nan"), float("nan")) and same((1, (2.0,)), (1, (2.0,)))
    for x, y in [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ((1,), (1.0,)),
        (np.float32(1), np.float64(1)),
        ("a", b"a"),
    ]:
        assert not same(x, y)


def test_names_whose_elements_code_reads() -> None:
    def reads(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        z = e
        for v in b:
            print(v)
        return (a[0] if c else float(d)) + z[1:] + f.shape[0]

    assert set("abcde") <= elements_read(reads.__code__) and "f" not in elements_read(reads.__code__)


MODULE = """
from tinygrad_dl import Tensor, nn, optim

SCALE = 1.0

def prepare(model_of):
    global model, optimizer
    model = model_of(nn)
    optimizer = optim.SGD(model.parameters(), 0.1)
    return model

def forward(x):
    return model(x) * SCALE

def step(x):
    optimizer.zero_grad()
    loss = (forward(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss
"""


@pytest.mark.parametrize("name", ["mine", "tinygrad_dl.mine", "tinygrad_dl.optimal", "numpy.mine", "queue"])
def test_a_users_module_may_have_any_name(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells is where its file is, so what its functions read counts, whatever it is called."""
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module: Any = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    found = []
    for compiled in (False, True):
        tg.manual_seed(0)
        rng, module.SCALE = np.random.default_rng(1), 1.0
        model = module.prepare(
            lambda nn, rng=rng: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5, rng=rng))
        )
        step = tg.compile(module.step, fullgraph=True) if compiled else module.step
        x = tg.asarray(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
        losses = [step(x * k).item() for k in range(1, 7)]
        module.SCALE = 3.0
        losses += [step(x * k).item() for k in range(1, 7)]
        found.append([*losses, rng.random(), *model[1].running_mean.tolist(), *model[1].running_var.tolist()])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


def test_code_belongs_to_whom_its_file_belongs() -> None:
    import queue

    from tinygrad_dl.compiler.origins import is_own, is_users

    assert not any(
        map(is_users, ("tinygrad_dl", "tinygrad_dl.nn.module", "tinygrad_dl.optim.sgd", "queue", "numpy"))
    )
    assert not is_users("numpy.linalg", vars(np.linalg))
    assert all(map(is_users, ("__main__", __name__, "pytest", "tinygrad_dl.mine", "queue.mine")))
    assert is_users("queue", {"__name__": "queue"}) and not is_users("queue", vars(queue))
    assert is_own(tg.optim.SGD, "tinygrad_dl.optim") and not is_own(tg.optim.SGD, "tinygrad_dl.opt")
    assert not is_own(type("Mine", (), {"__module__": "tinygrad_dl.optim.mine"}), "tinygrad_dl.optim")
    assert is_users("tinygrad_dl.course.anything")
