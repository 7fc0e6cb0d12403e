"""The frame of the command line: verbs, exit codes, errors in one paragraph."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from convatlas.cli import frame as cli
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError


def command(monkeypatch: pytest.MonkeyPatch, act: Callable[[argparse.Namespace], int]) -> None:
    """Put a verb `probe` into the table, whose module does `act`."""
    module = ModuleType("probe_command")
    module.HELP, module.EXAMPLES = "Probe.", ""  # type: ignore[attr-defined]
    module.configure, module.run = lambda _: None, act  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_command", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", ("probe_command", "probe"))


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def act(args: argparse.Namespace) -> int:
        raise error

    return act


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_verb_and_says_it_in_a_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    for verb, (_, line) in cli.COMMANDS.items():
        assert re.search(rf"^  {verb} +{re.escape(line)}$", text, re.MULTILINE)


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    import convatlas

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"convatlas {convatlas.__version__}\n"


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_every_verb_is_there_and_its_examples_are_valid(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = cli.load(verb).EXAMPLES
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("convatlas ")]
    assert lines, f"convatlas {verb} --help shows no example"
    for line in lines:
        words = shlex.split(re.split(r" {2,}| \| | > ", line)[0], comments=True)
        assert words[:2] == ["convatlas", verb]
        cli.parser_of(verb).parse_args(words[2:])  # MisuseError where an example is wrong
    assert cli.main([verb, "--help"]) == 0
    assert lines[0] in capsys.readouterr().out
    assert cli.main(["help", verb]) == 0


@pytest.mark.parametrize(("wrong", "right"), [("shwo", "show"), ("trian", "train"), ("evalute", "evaluate")])
def test_an_unknown_verb_is_misuse_and_the_nearest_is_named(
    wrong: str, right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([wrong, "lenet5"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert f"unknown command {wrong!r}; nearest: {right}" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "lenet5", "--nonsense"],
        ["show", "lenet5", "--classes", "0"],
        ["show", "lenet5", "--classes", "many"],
        ["show", "lenet5", "--input", "3x0x3"],
        ["show", "lenet5", "--width", "nan"],
        ["show", "lenet5", "--width", "-1"],
        ["show", "lenet5", "--width", "1e9"],
        ["train", "lenet5", "--width", "1e300"],
        ["train", "lenet5", "--input", "2x32x32"],
        ["train", "lenet5", "--device", "meta"],
        ["predict", "lenet5", "picture.png", "--device", "xla:0"],
        ["show", "lenet5", "--cla", "10"],  # no abbreviations: a script would break when an option is added
        ["show", "lenet6"],
        ["list", "--family", "resnt"],
        ["--json", "list"],
    ],
)
def test_misuse_is_one_line_on_stderr_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("convatlas: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MisuseError("a is not b"), 2, "a is not b"),
        (ConvAtlasError("the mirror is dead"), 1, "the mirror is dead"),
        (MissingExtra("ONNX", "onnx"), 1, "pip install 'convatlas[onnx]'"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "pip install 'convatlas[torch]'"),
        (ModuleNotFoundError("No module", name="skimage.feature"), 1, "pip install 'convatlas[classic]'"),
        (OSError(28, "No space left on device", "runs/x"), 1, "the disk is full (writing runs/x)"),
        (RuntimeError("inline_container.cc: No space left on device"), 1, "the disk is full"),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "runs/x: Permission denied"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory"),
        (KeyError("x"), 1, "unexpected KeyError"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
    ],
)
def test_every_error_is_a_paragraph_and_an_exit_code(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(monkeypatch, raising(error))
    assert cli.main(["probe"]) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert cli.main(["probe", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err
    assert cli.main(["--debug", "probe"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_found_behind_the_error_of_a_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("could not write the archive")
    error.__cause__ = OSError(28, "No space left on device")
    command(monkeypatch, raising(error))
    assert cli.main(["probe"]) == 1
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_to_a_full_disk_fails_in_one_paragraph() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "convatlas", "list", "--names"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_who_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "convatlas", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


# what a shell starts in the background does not hear Ctrl-C, and this very test may run there
_HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_ends_a_real_process_with_130(tmp_path: Path) -> None:
    # the shell gives Ctrl-C to whoever runs: here a command that sleeps
    (tmp_path / "sleeper.py").write_text(
        "import time\nHELP = EXAMPLES = ''\nconfigure = lambda parser: None\n"
        "def run(args):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    script = f"{_HEARS}import sys; from convatlas import cli; cli.COMMANDS['s'] = ('sleeper', ''); sys.exit(cli.main(['s']))"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_once_more_ends_it_at_once_and_in_silence(tmp_path: Path) -> None:
    """While Python waits for threads and what else is left to the end, a traceback of theirs would be told."""
    (tmp_path / "sleeper.py").write_text(
        "import atexit, time\nHELP = EXAMPLES = ''\nconfigure = lambda parser: None\n"
        "def leave():\n    print('leaving', flush=True)\n    time.sleep(60)\n"
        "def run(args):\n    atexit.register(leave)\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    script = (
        f"{_HEARS}import sys; from convatlas import cli; cli.COMMANDS['s'] = ('sleeper', ''); sys.argv[1:] = ['s']; "
        "sys.exit(cli.main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    ) as process:
        assert process.stdout is not None
        for said in ("ready\n", "leaving\n"):
            assert process.stdout.readline() == said
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)
    assert process.returncode == -signal.SIGINT
    assert err == "\nconvatlas: stopped by Ctrl-C\n"


def test_every_extra_that_an_error_names_exists(repository: Path) -> None:
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for _, extra in cli._EXTRAS.values()}
    for path in (repository / "convatlas").rglob("*.py"):
        named |= set(re.findall(r"MissingExtra\([^()]*?,\s*[\"'](\w+)[\"']\)", path.read_text(), re.DOTALL))
        named |= set(re.findall(r"convatlas\[([\w]+)\]", path.read_text()))
    assert named <= extras.keys()


def test_the_options_of_every_verb_are_what_scripts_know(golden: Callable[[str, str], None]) -> None:
    lines = []
    for verb in cli.COMMANDS:
        lines.append(verb)
        for action in cli.parser_of(verb)._actions:
            name = ", ".join(action.option_strings) or action.metavar or action.dest
            kind = f" {{{','.join(map(str, action.choices))}}}" if action.choices else ""
            need = " required" if action.required else ""
            default = "" if action.default in (None, False, argparse.SUPPRESS) else f" = {action.default}"
            lines.append(
                f"  {name}{f' nargs={action.nargs}' if action.nargs not in (None, 0) else ''}{kind}{need}{default}"
            )
    golden("cli.txt", "\n".join(lines) + "\n")
