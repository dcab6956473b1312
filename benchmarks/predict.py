"""Predictions: a single row and a batch, eager and compiled, beside ONNX Runtime, PyTorch and NumPy by hand, in turns.

python -m benchmarks.predict [--threads N] [--rounds N]
Mark: `tg.compile(model)` takes at most ONNX Runtime's time. Libraries that are missing are left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import timeit
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

NETWORKS = ((64, 32, 10), (784, 128, 10), (784, 512, 256, 10))
ROWS = (1, 1000)
Predict = Callable[[], Any]


def ours(layers: list[Any], x: Any) -> dict[str, Predict]:
    """The model in tinygrad_dl, eager and compiled by what is installed."""
    import tinygrad_dl as tg
    from tinygrad_dl import nn

    modules: list[Any] = []
    for w, b in layers:
        modules += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
        modules[-2].load_state_dict({"weight": w, "bias": b})
    model = nn.Sequential(*modules[:-1]).eval()
    compiled, rows = tg.compile(model, fullgraph=True), tg.asarray(x)

    def within(f: Any) -> Predict:
        def predict() -> Any:
            with tg.no_grad():
                return f(rows).numpy()

        return predict

    found = {"eager": within(model), "compiled": within(compiled)}
    for _ in range(4):
        found["compiled"]()
    return found


def onnx_runtime(layers: list[Any], x: Any, threads: int) -> dict[str, Predict]:
    """The same in ONNX Runtime."""
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession, SessionOptions

    nodes, values, name = [], [], "x"
    for i, (w, b) in enumerate(layers):
        values += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        name = f"z{i}"
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [name], [f"a{i}"]))
            name = f"a{i}"
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", k])
        for n, k in (("x", x.shape[1]), (name, len(layers[-1][1])))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {"ONNX Runtime": lambda: session.run(None, {"x": x})[0]}


def pytorch(layers: list[Any], x: Any, threads: int) -> dict[str, Predict]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    modules: list[Any] = []
    for w, b in layers:
        modules += [torch.nn.Linear(w.shape[1], w.shape[0]), torch.nn.ReLU()]
        modules[-2].load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
    model, rows = torch.nn.Sequential(*modules[:-1]).eval(), torch.tensor(x)

    def predict() -> Any:
        with torch.inference_mode():
            return model(rows).numpy()

    return {"PyTorch": predict}


def by_hand(layers: list[Any], x: Any) -> dict[str, Predict]:
    """The same in NumPy."""
    import numpy as np

    transposed = [(w.T.copy(), b) for w, b in layers]

    def predict() -> Any:
        out = x
        for i, (w, b) in enumerate(transposed):
            out = out @ w
            out += b
            if i < len(transposed) - 1:
                np.maximum(out, 0, out=out)
        return out

    return {"NumPy by hand": predict}


def measure(predicts: dict[str, Predict], seconds: float, rounds: int) -> dict[str, list[float]]:
    """The times of a prediction in each of the rounds, in microseconds; in turns."""
    times: dict[str, list[float]] = {name: [] for name in predicts}
    numbers = {}
    for name, f in predicts.items():
        f()
        numbers[name] = max(1, int(seconds / min(timeit.repeat(f, number=1, repeat=5))))
    for _ in range(rounds):
        for name, f in predicts.items():
            times[name].append(timeit.timeit(f, number=numbers[name]) / numbers[name] * 1e6)
    return times


def main(arguments: list[str] | None = None) -> int:
    """Measure and print one line for each network and number of rows; 1 if a mark is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args(arguments)
    os.environ["OPENBLAS_NUM_THREADS"] = str(chosen.threads)  # before NumPy is imported

    import numpy as np

    missed = 0
    print(f"minimum (median) of {chosen.rounds} rounds in turns, us; {chosen.threads} threads")
    for sizes in NETWORKS:
        rng = np.random.default_rng(0)
        layers = [
            ((rng.normal(size=(b, a)) / a**0.5).astype(np.float32), rng.normal(size=b).astype(np.float32))
            for a, b in zip(sizes, sizes[1:])
        ]
        for rows in ROWS:
            x = rng.normal(size=(rows, sizes[0])).astype(np.float32)
            predicts = {**ours(layers, x), **by_hand(layers, x)}
            if find_spec("onnxruntime") and find_spec("onnx"):
                predicts |= onnx_runtime(layers, x, chosen.threads)
            if find_spec("torch"):
                predicts |= pytorch(layers, x, chosen.threads)
            expected = predicts["NumPy by hand"]()
            for name, f in predicts.items():
                np.testing.assert_allclose(f(), expected, rtol=1e-3, atol=1e-3, err_msg=name)
            times = measure(predicts, 0.002, chosen.rounds)
            cells = [f"{name} {min(t):,.1f} ({statistics.median(t):,.1f})" for name, t in times.items()]
            ratio = ""
            if "ONNX Runtime" in times:
                value = min(times["compiled"]) / min(times["ONNX Runtime"])
                missed += value > 1
                ratio = f"   compiled / ONNX Runtime {value:.2f}"
            print(f"{'-'.join(map(str, sizes)):15} x {rows:<5} " + "  ".join(cells) + ratio, flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
