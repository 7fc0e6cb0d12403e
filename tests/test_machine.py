"""What the machine says of itself, against what the system's own tools say; and parsing on machines that are not this one."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys

import pytest

from convatlas import machine
from convatlas.cli import frame


def test_cores_are_those_that_this_process_may_use() -> None:
    nproc = shutil.which("nproc")
    if nproc is None:
        pytest.skip("no nproc on this system")
    # nproc obeys OMP_NUM_THREADS, which says how many are wanted, not how many there are
    allowed = int(subprocess.run([nproc], env={}, capture_output=True, text=True, check=True).stdout)
    assert 1 <= machine.machine().cores <= allowed


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_instructions_are_those_of_the_system() -> None:
    here = machine.machine()
    assert here.memory_bytes
    assert here.free_bytes
    assert 0 < here.free_bytes <= here.memory_bytes
    lscpu = shutil.which("lscpu")
    if lscpu:
        flags = subprocess.run([lscpu], capture_output=True, text=True, check=True).stdout.split()
        assert ("avx512f" in flags) == ("AVX-512" in here.instructions)
        assert ("amx_bf16" in flags) == ("AMX bf16" in here.instructions)
        assert ("amx_int8" in flags) == ("AMX int8" in here.instructions)


# as the kernel writes them on other machines; the ARM one is a Graviton 3
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp sve i8mm bf16\nCPU part\t: 0xd40\n\nprocessor\t: 1\n"
MEMORY = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n"


def test_a_container_s_limits_hold_and_arm_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/cpuinfo": ARM,
        "/proc/meminfo": MEMORY,
        "/sys/fs/cgroup/cpu.max": "150000 100000\n",
        "/sys/fs/cgroup/memory.max": str(4 << 30),
        "/sys/fs/cgroup/memory.current": str(1 << 30),
    }
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    here = machine.machine()
    assert here.instructions == ("NEON", "dot product (int8)", "I8MM (int8)", "BF16", "SVE")
    assert here.memory_bytes == 4 << 30
    assert here.free_bytes == 3 << 30
    assert here.cores == 2
    # of what is used, cached files are given back to whoever asks
    files["/sys/fs/cgroup/memory.stat"] = f"anon 5\nfile 7\nactive_file {1 << 28}\ninactive_file {1 << 28}\n"
    assert machine.memory() == (4 << 30, (3 << 30) + (1 << 29))


def test_a_system_that_tells_nothing_gives_none_and_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_read", lambda _: "")
    monkeypatch.setattr(machine.os, "sysconf_names", {})
    here = machine.machine()
    assert here.instructions == ()
    assert here.memory_bytes is None
    assert here.free_bytes is None
    assert here.cores >= 1


def test_packages_are_those_of_the_metadata_with_their_versions() -> None:
    found = {package.name: package for package in machine.packages()}
    assert "torch" in found["numpy"].extras
    assert found["pytest"].installed == importlib.metadata.version("pytest")
    assert machine.version_of("no-such-package-anywhere") is None


@pytest.mark.parametrize(
    ("installed", "old"),
    [("2.9.1", True), ("2.11.0", False), ("2.13.0+cpu", False), ("3.0", False), (None, False)],
)
def test_versions_compare_by_their_numbers(installed: str | None, old: bool) -> None:
    assert machine.Package("torch", ("torch",), "2.11", installed).is_old is old


def test_doctor_prints_facts_and_json_of_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="what torch says of itself is part of it")
    from convatlas.modules.norm import kernels

    assert frame.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["torch"]["version"] == torch.__version__
    assert found["torch"]["bf16_speed"] > 0
    assert (found["torch"]["kernels"] is None) == (kernels().library is not None)
    assert found["machine"]["cores"] == machine.machine().cores
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    for missing in found["missing"]:
        assert missing["install"] == f"pip install 'convatlas[{missing['extra']}]'"
        assert all(found["packages"][name] is None for name in missing["packages"])
    assert frame.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert torch.__version__ in text
    assert found["machine"]["processor"] in text
