"""The frame that every command runs in: the table of verbs, parsing, errors and exit codes.

Apart from the package's own file because a command's module becomes a name there: `convatlas.cli.list` would
hide the builtin.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from types import ModuleType
from typing import NoReturn

from convatlas._version import __version__
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError

# verb: (module, one line of help), in the order in which a newcomer meets them
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("convatlas.cli.list", "the catalogue, in order of publication"),
    "show": ("convatlas.cli.show", "one network: its facts, its layer table, its source"),
    "compare": ("convatlas.cli.compare", "networks side by side, as a table or a plot"),
    "draw": ("convatlas.cli.draw", "the figure of a network, as a textbook would print it"),
    "estimate": ("convatlas.cli.estimate", "memory and time that a network will take"),
    "claims": ("convatlas.cli.claims", "what papers and textbooks say, checked"),
    "train": ("convatlas.cli.train", "train a network, on digits, on a known set or on your photos"),
    "evaluate": ("convatlas.cli.evaluate", "measure the accuracy of a trained network"),
    "predict": ("convatlas.cli.predict", "name what is in your images"),
    "explain": ("convatlas.cli.explain", "see what a network looks at"),
    "import": ("convatlas.cli.import_", "turn a published checkpoint into ours"),
    "export": ("convatlas.cli.export", "write ONNX, OpenVINO, TorchScript and others"),
    "benchmark": ("convatlas.cli.benchmark", "time networks on this machine, against their peers"),
    "data": ("convatlas.cli.data", "check, preview and pack a folder of photos"),
    "doctor": ("convatlas.cli.doctor", "what this machine has, and what is missing"),
}

_TOP_EXAMPLES = """\
examples:
  convatlas list --family resnet         which ResNets there are
  convatlas show googlenet               the paper's table, with shapes and costs
  convatlas draw densenet121 -o d.svg    its figure
  convatlas train lenet5 --out runs/one  a network that reads digits, in seconds
  convatlas predict runs/one digit.png   what it makes of yours
  convatlas doctor                       what this machine can do

`convatlas VERB --help` has more of each. Every command takes --json and --debug.
"""

# import name -> (what the user knows it as, the extra that brings it)
_EXTRAS = {
    "torch": ("PyTorch", "torch"),
    "numpy": ("NumPy", "torch"),
    "PIL": ("Pillow", "torch"),
    "safetensors": ("safetensors", "torch"),
    "simplejpeg": ("simplejpeg", "torch"),
    "rich": ("rich", "torch"),
    "sklearn": ("scikit-learn", "classic"),
    "skimage": ("scikit-image", "classic"),
    "onnx": ("ONNX", "onnx"),
    "onnxscript": ("onnxscript", "onnx"),
    "onnxruntime": ("ONNX Runtime", "onnx"),
    "h5py": ("h5py", "keras"),
    "openvino": ("OpenVINO", "openvino"),
    "resvg_py": ("resvg-py", "png"),
    "typst": ("typst", "pdf"),
    "tensorboard": ("TensorBoard", "log"),
}


# how torch says that the machine's own memory is too small, or that no number could hold the size
_NO_MEMORY = ("DefaultCPUAllocator", "Storage size calculation overflowed")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ours: one paragraph, exit 2, no abbreviated options."""

    def __init__(self, prog: str, description: str, examples: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples.rstrip()}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that one place prints all errors."""
        raise MisuseError(f"{message} ({self.prog} --help shows what it takes)")


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; argv leaves out the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments[: arguments.index("--") if "--" in arguments else None]
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # names of files are bytes, and go out as they came in
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `convatlas list | head`: nobody reads any more
        _give_up_stdout()
        return 141
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        print("\nconvatlas: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 (the one place where every error becomes a paragraph)
        if debug:
            traceback.print_exc()
        print(f"convatlas: {explain(error)}", file=sys.stderr)
        if _is_disk_full(error):
            _give_up_stdout()
        return error.exit_code if isinstance(error, ConvAtlasError) else 1
    finally:
        # what is left is Python's own end: Ctrl-C once more ends it at once, without a traceback of its threads
        if argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    return code


def load(verb: str) -> ModuleType:
    """Import the module of a verb; an unknown verb is misuse, with the nearest ones named."""
    if verb not in COMMANDS:
        near = difflib.get_close_matches(verb, COMMANDS, n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(COMMANDS)}"
        raise MisuseError(f"unknown command {verb!r}; {hint} (convatlas --help lists them all)")
    module = COMMANDS[verb][0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConvAtlasError(f"the command {verb!r} is not part of this version ({__version__})") from error


def parser_of(verb: str) -> Parser:
    """Build the parser of one verb, with the options that all share."""
    command = load(verb)
    parser = Parser(f"convatlas {verb}", command.HELP, command.EXAMPLES)
    command.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def explain(error: Exception) -> str:
    """One paragraph for a person: what happened and what to do."""
    if isinstance(error, ConvAtlasError):
        return str(error)
    if _is_disk_full(error):
        where = getattr(error, "filename", None)
        return (
            f"the disk is full{f' (writing {where})' if where else ''}; what had been saved before is whole. "
            "Make room, or give --out on another disk, and run the same command again"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in _EXTRAS:
            return str(MissingExtra(*_EXTRAS[package]))
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        return "out of memory; a smaller --batch, --input or --width needs less"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return "out of memory; a smaller --batch, or --device cpu, needs less"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return (
        f"unexpected {type(error).__name__}: {text or 'no message'}. This is a fault of ours: the same command with "
        "--debug shows where; please report it with that text"
    )


def _give_up_stdout() -> None:
    """Let what cannot be written go nowhere: Python flushes once more at exit, and would complain again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_disk_full(error: BaseException | None) -> bool:
    """Tell a full disk, also where a library wrapped it in an error of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _dispatch(arguments: list[str]) -> int:
    # --debug may stand before the verb as well
    while arguments and arguments[0] == "--debug":
        arguments.append(arguments.pop(0))
        if set(arguments) == {"--debug"}:
            arguments = []
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        if len(arguments) > 1 and arguments[0] == "help" and not arguments[1].startswith("-"):
            parser_of(arguments[1]).print_help()
            return 0
        print(overview())
        return 0
    if arguments[0] in {"-V", "--version"}:
        print(f"convatlas {__version__}")
        return 0
    verb, *rest = arguments
    if verb.startswith("-"):
        raise MisuseError(
            f"the verb comes first: convatlas VERB [NETWORK] {verb} ... (convatlas --help lists the verbs)"
        )
    command = load(verb)
    try:
        args = parser_of(verb).parse_args(rest)
    except SystemExit as done:  # argparse has printed --help
        return done.code if isinstance(done.code, int) else 0
    return int(command.run(args) or 0)


def overview() -> str:
    """What `convatlas --help` prints."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {verb:<{width}}  {text}" for verb, (_, text) in COMMANDS.items())
    return (
        "usage: convatlas VERB [NETWORK] [options]\n\n"
        "Every classic convolutional network for image classification, exact to its paper.\n\n"
        f"verbs:\n{rows}\n\n{_TOP_EXAMPLES}"
    )
