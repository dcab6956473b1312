"""PyTorch's names that this layer leaves out, with the reason; an unknown name is answered from here."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What the names match (in full) -> the reason.
REASONS: dict[str, str] = {
    r"(is_)?(q(uint|int)\w*|quantize\w*|quantized\w*|dequantize|fake_quantize\w*|fbgemm\w*|int_repr|q_\w+|qscheme"
    r"|per_(tensor|channel)\w*|fused_moving\w*|choose_qparams\w*|ao"
    r"|quantization|empty_quantized|intrinsic|qat|quantizable)": "quantization is left out",
    r"\w*sparse\w*|c?crow_indices|ccol_indices|col_indices|row_indices|hash_tensor|\w*mkldnn\w*|SparseAdam"
    r"|to_padded_tensor|jagged|nested"
    r"|segment_reduce": "sparse Tensors are dense here, and ragged ones are left out",
    r"cudnn\w*|miopen\w*|\w*_cuda\w*|mtia|hip\w*|\w*_xpu|\w*_hpu|ipu|Stream|Event|\w*_gpu\w*|record_stream|nnpack\w*"
    r"|\w*vulkan\w*|xla|is_(ipu|maia|mtia|xla)": "there is one device, the CPU",
    r"script\w*|fx|export|package|compiler|_dynamo|_inductor|mobile\w*|\w*torch_?script\w*|aot\w*|dynamo\w*|classes|ops"
    r"|library|profiler|futures|hub|masked|monitor|overrides|signal|sym_\w+|cond|while_loop|vitals\w*|read_vitals|set_vital"
    r"|cpp\w*|return_types|functional|quasirandom|thread_safe_generator|fork|wait|import_ir\w*|parse_\w+|merge_type\w*"
    r"|unify_type\w*|init_num_threads|get_file_path|prepare_multi\w*|jiterator\w*|compiled_with\w*|has_(lapack|mkl"
    r"|openmp|spectral|torch_function\w*)|handle_torch_function|boolean_dispatch|assert_int_or_pair|\w*multithreading\w*"
    r"|classproperty|factory_kwargs|common_types|common_notes|debug_unwrap|argument_validation"
    r"|functional_datapipe|\w*determin\w*|runtime_validation\w*|as_subclass|dim_order|\w+_notes|torch_version|windows|dataclasses|stateless|\w*grad_layout\w*|variable|grad_mode|grad_dtype|is_set_to|volatile|types"
    r"|get_device_module|is_(anomaly|autocast|warn_always|distributed|inference)\w*|(set|get|clear)_(autocast|anomaly)\w*"
    r"|autocast_\w+": "PyTorch's compilers, exporters and tools are left out; tg.compile compiles",
    r"float8\w*|float4\w*|complex32|chalf|uint[1-7]|int[1-7]|bits\w+|BFloat16Tensor|bit": "NumPy has no such dtype",
    r"names|align_\w+|refine_names|unify_names|has_names": "named axes are left out",
    r"\w*storage\w*|Storage|\w+Storage|module_load|from_file|const_data_ptr"
    r"|to_dlpack|slice_inverse": "memory is NumPy's: use x.numpy()",
    r"(linalg_)?(ldl\w*|lobpcg|svd_lowrank|pca_lowrank|symeig|eig|solve"
    r"|lstsq|triangular_solve)": "this decomposition is left out; torch.linalg has the common ones",
    r"igamma_?|igammac_?|stft|istft|histogramdd|nonzero_static|map2_|reinforce|resize|norm_except_dim|conv_tbc"
    r"|embedding_renorm_|affine_grid_generator|grid_sampler\w*|scaled_\w+|grouped_mm|index|resize_as"
    r"|saddmm|swap_in_\w+|rearrange|grad": "it is left out",
    r"native_\w+|batch_norm_\w+|(lstm|gru|rnn_tanh|rnn_relu)(_cell)?|\w*_backward\w*|convolution|constant_pad_nd"
    r"|empty_permuted|frobenius_norm|unsafe_split_with_sizes|new_empty_strided|max_pool1d_with_indices|as_strided_"
    r"|[A-Z]\w*|__\w+__|_\w+|\w+_copy|sys|os|math|ctypes|glob|inspect|platform|textwrap|threading|warnings|importlib"
    r"|functools|builtins|torch|\w*DataPipe\w*": "internal: the layers and functions that programs call are there",
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
    if near and why.startswith("internal"):
        why = ""
    advice = why or ("there is no such name" + (f". Did you mean {place}.{near[0]}?" if near else ""))
    return AttributeError(f"{place}.{name}: {advice}", name=name, obj=None)
