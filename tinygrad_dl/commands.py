"""The commands of tinygrad-dl and their options."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tinygrad_dl import __version__, environment
from tinygrad_dl.errors import ValueRangeError, missing_extra

try:
    import click
except ImportError:
    raise missing_extra("click", "train", "the command tinygrad-dl") from None


class PositiveFloat(click.ParamType):
    """A finite number above 0."""

    name = "number"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"expected a number above 0, got {value!r}", param, ctx)
        return number


class IntegerInRange(click.ParamType):
    """An integer from `least` to `most`; click's own IntRange has another message for what is not an integer."""

    name = "integer"

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            self.fail(f"expected an integer from {self.least} to {self.most}, got {value!r}", param, ctx)
        return number


SEED = IntegerInRange(0, 2**63 - 1)


class DiagramPath(click.ParamType):
    """A path whose ending is that of a diagram format; the table of formats is read when the command runs."""

    name = "path"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from tinygrad_dl.viz.formats import format_of

        try:
            format_of(value)
        except ValueRangeError as error:
            self.fail(str(error).removeprefix("save: "), param, ctx)
        return Path(value)


class DiagramOption(click.Option):
    """The file of a diagram; its help names the formats, which are read when it is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from tinygrad_dl.viz.formats import FORMATS

        self.help = f"Write this file, in the format that its ending names: {', '.join(FORMATS)}."
        return super().get_help_record(ctx)


class Commands(click.Group):
    """A group whose list of commands has the whole first sentence of each; click's own cuts it off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                sentence = " ".join((command.help or "").split("\n\n")[0].split())
                rows.append((name, sentence))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="tinygrad_dl %(version)s")
def tinygrad_dl() -> None:
    """Deep learning in pure Python over NumPy.

    Start with `tinygrad-dl demo`; `tinygrad-dl doctor` shows what is installed.
    """


@tinygrad_dl.command()
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed all randomness with this number.")
@click.option(
    "--epochs",
    type=IntegerInRange(1, 10_000),
    default=60,
    show_default=True,
    help="Go through the training set this many times.",
)
@click.option(
    "--lr", type=PositiveFloat(), default=0.003, show_default=True, help="Start Adam with this learning rate."
)
@click.option(
    "--batch-size",
    type=IntegerInRange(2, 1024),
    default=64,
    show_default=True,
    help="Use this many examples in each step.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Write the results to this folder.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the metrics as JSON on stdout; everything else on stderr."
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def demo(seed: int, epochs: int, lr: float, batch_size: int, out: Path, as_json: bool, quiet: bool) -> int:
    """Train a network on real handwritten digits and show what it learned.

    Writes learning curves, the confusion matrix, the misclassified digits, the computation graph, the weights, and
    report.html, which shows all of them.
    """
    from tinygrad_dl import demo

    settings = demo.Settings(seed=seed, epochs=epochs, lr=lr, batch_size=batch_size, out=out)
    return demo.run(settings, as_json=as_json, quiet=quiet)


@tinygrad_dl.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--mpi", is_flag=True, help="Try MPI: start two processes and let them exchange arrays.")
def doctor(as_json: bool, mpi: bool) -> int:
    """Show the installed versions, extras and graph layout engines, and how to install what is missing."""
    if mpi:
        from tinygrad_dl.distributed import trial

        found = trial.trial()
        print(json.dumps(found, indent=2) if as_json else trial.as_text(found))
        return int("error" in found)
    print(environment.as_json() if as_json else environment.as_text())
    return 0


@tinygrad_dl.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(run: Path) -> int:
    """Collect the results in the folder RUN on one page, RUN/report.html."""
    from tinygrad_dl.train.html_report import write_report

    print(write_report(run))
    return 0


@tinygrad_dl.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help="Give an input this shape, such as 32,64 or 32,64:int64. Repeat it for each input.",
)
@click.option(
    "--out",
    type=DiagramPath(),
    cls=DiagramOption,
    metavar="FILE",
    default=Path("graph.html"),
    show_default=True,
)
@click.option("--depth", type=IntegerInRange(0, 1000), help="Collapse the modules below this depth.")
@click.option(
    "--color",
    type=click.Choice(["grad", "gain", "nan"]),
    help="Color by the gradient, the gain, or where NaN comes from.",
)
@click.option(
    "--max-nodes",
    type=IntegerInRange(2, 1_000_000),
    default=400,
    show_default=True,
    help="Draw at most this many boxes.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed the weights and inputs with this number.",
)
def draw(
    target: str,
    more: tuple[str, ...],
    inputs: tuple[str, ...],
    out: Path,
    depth: int | None,
    color: str | None,
    max_nodes: int,
    seed: int,
) -> int:
    """Draw the graph of what FILE.py defines as NAME: a model, or a function of Tensors.

    It is run once, on random inputs of the given shapes. The format html is a page that shows the backward pass step
    by step. A run that fails is drawn up to the failing operation, and the exit code is 1.
    """
    if more:
        message = f"expected FILE.py:NAME, got {target} {' '.join(more)}. Write {target}:{more[0]}"
        raise click.UsageError(message, click.get_current_context())
    from tinygrad_dl.config import manual_seed
    from tinygrad_dl.viz.scripts import draw_script

    manual_seed(seed)
    view = draw_script(target, inputs, seed, depth=depth, color=color, max_nodes=max_nodes)
    print(view.save(out))
    failed = [node.error for node in view.full.nodes if node.error]
    for error in failed:
        print(f"tinygrad-dl draw: {' '.join(error.split())}", file=sys.stderr)
    return 1 if failed else 0


@tinygrad_dl.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Run all experiments, which takes a few minutes.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="TINYGRAD_DL_COURSE_DATA",
    show_envvar=True,
    help="Read the course's own files from this folder: train_catvnoncat.h5, test_catvnoncat.h5, data.mat, and MNIST.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/course"),
    show_default=True,
    help="Write plots to this folder.",
)
@click.option("--list", "listed", is_flag=True, help="List the experiments, as without NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def course(
    name: str | None, everything: bool, data: Path | None, out: Path, listed: bool, as_json: bool
) -> int:
    """Run the experiments of the courses and compare the results with the printed ones.

    NAME is one experiment. Without --data, experiments that need files of the course are skipped. The exit code is
    1 if a result differs. The scripts are examples/course/, installed as the package tinygrad_dl.course.
    """
    from tinygrad_dl.course import EXPERIMENTS, runner

    if name is not None and name not in EXPERIMENTS:
        message = f"NAME: expected one of {', '.join(EXPERIMENTS)}, got {name!r}"
        raise click.UsageError(message, click.get_current_context())
    if name is not None and everything:
        raise click.UsageError("expected NAME or --all, got both", click.get_current_context())
    if listed or not (name or everything):
        print(json.dumps(list(EXPERIMENTS)) if as_json else runner.listing())
        return 0
    return runner.run(EXPERIMENTS if name is None else [name], data, out, as_json)


@tinygrad_dl.command()
@click.option(
    "--port",
    type=IntegerInRange(0, 65535),
    default=0,
    help="Serve the page at this port instead of a free one.",
)
@click.option("--no-open", is_flag=True, help="Print the address, and do not open a browser.")
def playground(port: int, no_open: bool) -> int:
    """Train networks in the browser, look inside, and take the program home.

    The page is served on this machine only, and works without a network. Ctrl-C ends it.
    """
    from tinygrad_dl.playground.server import serve

    serve(port, not no_open, lambda text: print(text, flush=True))
    return 0


class Numbers(click.ParamType):
    """An interval, LOW,HIGH."""

    name = "interval"

    def convert(
        self, value: str | tuple[float, float], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        try:
            low, high = (float(x) for x in value.split(",")) if isinstance(value, str) else value
        except ValueError:
            low, high = math.nan, math.nan
        if not -math.inf < low < high < math.inf:
            self.fail(f"expected two numbers, the lower first, such as 0.1,5, got {value!r}", param, ctx)
        return low, high


@tinygrad_dl.command()
@click.argument("targets", metavar="FILE.py:NAME...", nargs=-1, required=True)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help="Give an input this shape, such as 3,4 or 3:int64; float64 by default. Repeat it for each input.",
)
@click.option(
    "--backward", metavar="NAME", help="Check this function, the handwritten backward of a NumPy function."
)
@click.option(
    "--laws", is_flag=True, help="Test the properties of an operation, and shrink inputs that violate one."
)
@click.option("--domain", type=Numbers(), metavar="LOW,HIGH", help="Draw the inputs between these bounds.")
@click.option(
    "--order",
    type=IntegerInRange(1, 4),
    default=1,
    show_default=True,
    help="Check the derivatives of this order.",
)
@click.option("--fast", is_flag=True, help="Check one random direction per input instead of each element.")
@click.option(
    "--framework",
    type=click.Choice(["torch", "jax", "autograd", "mygrad", "tinygrad_dl"]),
    help="Name the framework of the functions, if the file does not show it.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed the inputs with this number.")
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def check(
    targets: tuple[str, ...],
    inputs: tuple[str, ...],
    backward: str | None,
    laws: bool,
    domain: tuple[float, float] | None,
    order: int,
    fast: bool,
    framework: str | None,
    seed: int,
    junit: Path | None,
    as_json: bool,
) -> int:
    """Check the gradient of what FILE.py defines as NAME, on random inputs.

    NAME is a function of Tensors of this library, PyTorch, JAX, HIPS autograd or MyGrad; a model, whose parameters are
    checked as well; an autograd.Function; a NumPy layer with forward and backward; or a NumPy function with --backward.
    The exit code is 1 if a gradient is wrong or there is no verdict.
    """
    from tinygrad_dl.op import Domain
    from tinygrad_dl.testing import script_checks

    within = Domain(*domain) if domain is not None else None
    options = script_checks.Options(inputs, backward, laws, within, order, fast, framework, seed)
    if junit is not None and not junit.resolve().parent.is_dir():
        raise click.UsageError(
            f"--junit: the folder {str(junit.parent)!r} does not exist", click.get_current_context()
        )
    try:
        prepared = [script_checks.Prepared(target, options) for target in targets]
    except ValueRangeError as error:
        raise click.UsageError(str(error).removeprefix("check: "), click.get_current_context()) from None
    outcomes = [one.check() for one in prepared]
    if junit is not None:
        script_checks.write_junit(outcomes, junit)
    if as_json:
        print(script_checks.as_json(outcomes))
    else:
        for outcome in outcomes:
            print(f"{outcome.target}: {outcome.verdict}\n{outcome.report}")
    return 0 if all(outcome.verdict == "correct" for outcome in outcomes) else 1


def run(arguments: Sequence[str]) -> int:
    """Run a command; a usage error is one line on stderr and exit code 2."""
    if not arguments:
        arguments = ["--help"]
    try:
        # click's own width is at least 50 columns, and a narrower terminal would break inside of words.
        width = max(30, min(100, shutil.get_terminal_size().columns - 2))
        code = tinygrad_dl.main(
            list(arguments), prog_name="tinygrad-dl", standalone_mode=False, terminal_width=width
        )
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "tinygrad-dl"
        print(f"{where}: {_one_line(error)}; see {where} --help", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def _one_line(error: click.UsageError) -> str:
    if isinstance(error, click.BadParameter) and error.param is not None:
        option = "/".join(error.param.opts)
        if isinstance(error, click.MissingParameter):
            return f"{error.param.make_metavar(error.ctx) if error.ctx else option} is missing"
        return f"{option if option.startswith('-') else option.upper()}: {error.message}".rstrip(".")
    return " ".join(error.format_message().split()).rstrip(".")
