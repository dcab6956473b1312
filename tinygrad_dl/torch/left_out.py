"""PyTorch's names that this layer leaves out, with the reason; an unknown name is answered from here."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What the names match (in full) -> the reason.
REASONS: dict[str, str] = {
    r"(is_)?(q(uint|int)\w*|quantize\w*|quantized\w*|dequantize|fake_quantize\w*|fbgemm\w*|int_repr|q_\w+|qscheme|per_(tensor|channel)\w*|fused_moving\w*|choose_qparams\w*|ao|quantization)": "quantization is left out",
    r"\w*sparse\w*|hspmm|hsmm|sspaddmm|smm|coalesce|crow_indices|ccol_indices|col_indices|row_indices|is_coalesced|indices|values|hash_tensor|to_mkldnn|\w*mkldnn\w*|_sparse\w*": "sparse Tensors are left out",
    r"cudnn\w*|miopen\w*|cuda_path|\w*_cuda\w*|cuda|mps|xpu|mtia|accelerator|hip\w*|\w*_xpu|\w*_hpu|ipu|Stream|Event|\w*_gpu\w*|record_stream|nnpack\w*|\w*vulkan\w*|xla|vulkan": "there is one device, the CPU",
    r"jit|script\w*|ScriptModule|fx|export|package|compiler|_dynamo|_inductor|onnx|mobile\w*|\w*torch_?script\w*|Fx\w*|OperatorBase|aot\w*|dynamo\w*|classes|ops|library|torch_version|TypedStorage|profiler|futures|multiprocessing|hub|masked|nested|monitor|overrides|signal|sym_\w+|Sym\w+|cond|while_loop|vitals\w*|read_vitals|set_vital|futures|backends_\w+|typename_\w+|utils_\w+|cpp\w*|ffi\w*|return_types": "PyTorch's compilers, exporters and tools are left out; tg.compile compiles",
    r"bfloat16|float8\w*|float4\w*|complex32|chalf|uint[1-7]|int[1-7]|bits\w+|uint(16|32|64)": "NumPy has no such dtype",
    r"names|align_\w+|rename_?|refine_names|unify_names|has_names": "named axes are left out",
    r"\w*storage\w*|Storage|\w+Storage|module_load|share_memory_|is_shared": "memory is NumPy's: use x.numpy()",
    r"__\w+__|_\w+|\w+_copy": "internal",
}


def reason(name: str) -> str:
    """Why a name is left out, or the empty string."""
    return next((why for pattern, why in REASONS.items() if re.fullmatch(pattern, name)), "")


def missing(place: str, name: str, known: Iterable[str] = ()) -> AttributeError:
    """The error for a name that is not there."""
    if name.startswith("_"):
        return AttributeError(f"{place} has no attribute {name!r}", name=name, obj=None)
    from difflib import get_close_matches

    why = reason(name)
    near = get_close_matches(name, [n for n in known if not n.startswith("_")], 1)
    advice = why or ("there is no such name" + (f". Did you mean {place}.{near[0]}?" if near else ""))
    return AttributeError(f"{place}.{name}: {advice}", name=name, obj=None)
