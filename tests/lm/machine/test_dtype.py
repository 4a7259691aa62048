"""Which type `auto` means: invented processors and GPUs, a measurement that is made once, and what must not import torch."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoagent.lm.machine import dtype, processor
from infoagent.lm.machine.processor import ARM, FORCING, X86, Measured, Processor
from infoagent.types import InputError

AVX2 = {"avx2": True}
AVX512 = {**AVX2, "avx512_f": True}
COOPER_LAKE = {**AVX512, "avx512_bf16": True}
SAPPHIRE_RAPIDS = {**COOPER_LAKE, "amx_tile": True, "amx_bf16": True}
GRAVITON3 = {"neon": True, "bf16": True, "sve_bf16": True}
QUESTIONS = {
    "_is_avx2_supported": "avx2", "_is_avx512_supported": "avx512_f", "_is_avx512_bf16_supported": "avx512_bf16",
    "_is_amx_tile_supported": "amx_tile",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "cache"))
    for name in (*FORCING, "ACCELERATE_USE_CPU", "ACCELERATE_MIXED_PRECISION", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def has(monkeypatch, told):
    """torch tells of a processor with these capabilities."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    for question, name in QUESTIONS.items():
        monkeypatch.setattr(torch.cpu, question, lambda name=name: told.get(name, False))


def measures(monkeypatch, ratio):
    """Products run at this ratio; the list counts how often they were timed."""
    timed = []

    def time_products(device="cpu"):
        timed.append(device)
        return Measured(50.0, 50.0 * ratio, ratio)

    monkeypatch.setattr(processor, "time_products", time_products)
    return timed


def cpuinfo(monkeypatch, tmp_path, text):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    real = processor.Path
    monkeypatch.setattr(processor, "Path", lambda name: file if str(name) == "/proc/cpuinfo" else real(name))


@pytest.mark.parametrize(
    ("told", "ratio", "chosen"),
    [
        (AVX2, 9.0, "float32"),  # a ratio that no such processor has: it is not even asked for
        (AVX512, 9.0, "float32"),
        (COOPER_LAKE, 1.4, "bfloat16"),
        (COOPER_LAKE, 0.8, "float32"),
        (SAPPHIRE_RAPIDS, 5.0, "bfloat16"),
        (GRAVITON3, 1.9, "bfloat16"),
        (GRAVITON3, 1.0, "float32"),
        ({"neon": True}, 9.0, "float32"),
    ],
)
def test_a_processor_computes_in_bfloat16_where_it_has_it_and_is_faster_in_it(monkeypatch, told, ratio, chosen):
    has(monkeypatch, told)
    timed = measures(monkeypatch, ratio)
    assert [dtype.resolve("auto", "cpu") for _ in range(3)] == [chosen] * 3
    native = "bf16" in str([name for name, there in told.items() if there])
    assert len(timed) == int(native)  # once, and only where it can matter
    assert dtype.resolve("bfloat16", "cpu") == "bfloat16"
    assert dtype.resolve("float32", "cpu") == "float32"
    assert dtype.is_emulated("bfloat16", "cpu") != native
    assert not dtype.is_emulated("float32", "cpu")


@pytest.mark.parametrize(
    ("variable", "value", "left"),
    [
        ("ATEN_CPU_CAPABILITY", "avx2", ()),
        ("ATEN_CPU_CAPABILITY", "default", ()),
        ("ATEN_CPU_CAPABILITY", "avx512", X86),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", ()),
        ("ONEDNN_MAX_CPU_ISA", "avx2_vnni_2", ()),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE", ()),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", ("AVX512-BF16",)),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX", X86),
        ("ONEDNN_MAX_CPU_ISA", "DEFAULT", X86),
    ],
)
def test_what_the_environment_takes_away_is_not_there(monkeypatch, variable, value, left):
    has(monkeypatch, SAPPHIRE_RAPIDS)
    monkeypatch.setenv(variable, value)
    found = processor.this_processor()
    assert found.bfloat16 == left
    measures(monkeypatch, 4.0)
    choice = dtype.choose("cpu")
    assert choice.dtype == ("bfloat16" if left else "float32")
    assert left or f"{variable}={value}" in choice.why


@given(st.sets(st.sampled_from([*X86, *ARM, "AVX2", "AVX512"])), st.sampled_from(["", "avx2", "default", "avx512"]),
       st.sampled_from(["", *processor.OLDER_PRODUCTS, *processor.WITHOUT_TILES, "ALL"]))  # fmt: skip
def test_no_forcing_adds_what_a_processor_lacks_and_none_touches_arm(names, kernels, products):
    forced = tuple(f"{k}={v}" for k, v in (("ATEN_CPU_CAPABILITY", kernels), ("ONEDNN_MAX_CPU_ISA", products)) if v)
    plain = Processor("p", tuple(sorted(names)))
    held = Processor("p", plain.has, forced)
    assert set(held.bfloat16) <= set(plain.bfloat16) <= names
    assert set(held.bfloat16) & set(ARM) == names & set(ARM)
    both = Processor("p", plain.has, tuple(reversed(forced)))
    assert held.bfloat16 == both.bfloat16


def test_a_measurement_is_kept_by_processor_and_forcing_and_a_damaged_one_is_made_anew(monkeypatch, tmp_path):
    has(monkeypatch, SAPPHIRE_RAPIDS)
    timed = measures(monkeypatch, 2.0)
    assert dtype.resolve("auto", "cpu") == "bfloat16"
    assert len(timed) == 1
    [file] = (tmp_path / "cache" / "bfloat16").glob("*.json")
    kept = json.loads(file.read_text())
    assert kept["ratio"] == 2.0
    assert kept["torch"] == torch.__version__
    assert kept["processor"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")  # another machine, as far as products go
    dtype.resolve("auto", "cpu")
    assert len(timed) == 2
    assert len(list(file.parent.glob("*.json"))) == 2
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    file.write_text('{"ratio": ')
    assert dtype.resolve("auto", "cpu") == "bfloat16"
    assert len(timed) == 3
    assert json.loads(file.read_text())["ratio"] == 2.0
    assert not list(file.parent.glob(".*"))


def test_of_processes_that_measure_at_once_the_first_holds_for_all():
    ratios = iter([0.9, 1.2])
    second = []

    def slow():
        ratio = next(ratios)
        if ratio == 0.9:  # while this one measures, another process finishes
            second.append(processor.measured_once(slow))
        return Measured(1.0, ratio, ratio)

    assert processor.measured_once(slow).ratio == 1.2 == second[0].ratio


def test_a_cache_that_cannot_be_written_costs_a_measurement_and_a_warning(monkeypatch, tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("INFOAGENT_CACHE", str(blocked))
    assert processor.measured_once(lambda: Measured(1.0, 2.0, 2.0)).ratio == 2.0
    assert "cannot be kept" in caplog.text


def test_the_timed_products_are_products_in_both_types():
    found = processor.time_products()
    assert found.float32_gflops > 0
    assert found.bfloat16_gflops > 0
    assert found.ratio > 0


GPUS = {"Tesla T4": (7, 5), "Tesla V100": (7, 0), "NVIDIA A10": (8, 6), "NVIDIA H200": (9, 0)}


def gpus(monkeypatch, *names, hip=None):
    def capable(including_emulation=True):
        return including_emulation or GPUS[names[0]][0] >= 8 or hip is not None

    monkeypatch.setattr(torch.version, "hip", hip)
    for name, answer in {
        "device_count": lambda: len(names),
        "current_device": lambda: 0,
        "get_device_name": lambda i=0: names[i],
        "get_device_capability": lambda i=0: GPUS[names[i]],
        "is_bf16_supported": capable,
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)


@pytest.mark.parametrize(
    ("names", "device", "chosen"),
    [
        (["NVIDIA H200"], "cuda", "bfloat16"),
        (["NVIDIA A10", "NVIDIA H200"], "cuda", "bfloat16"),
        (["Tesla T4"], "cuda", "float32"),
        (["Tesla V100"], "cuda:0", "float32"),
        (["NVIDIA A10", "Tesla T4"], "cuda", "float32"),  # the processes of a launch compute in one type
        (["NVIDIA A10", "Tesla T4"], "cuda:0", "bfloat16"),
        (["NVIDIA A10", "Tesla T4"], "cuda:1", "float32"),
    ],
)
def test_a_gpu_computes_in_bfloat16_where_it_has_it(monkeypatch, names, device, chosen):
    gpus(monkeypatch, *names)
    assert dtype.resolve("auto", device) == chosen
    assert dtype.is_emulated("bfloat16", device) == (chosen == "float32")


def test_amds_and_apples_and_intels(monkeypatch):
    gpus(monkeypatch, "Tesla T4", hip="6.2")  # whatever number its capability has
    assert dtype.resolve("auto", "cuda") == "bfloat16"
    for version, chosen in (((13, 6), "float32"), ((14, 0), "bfloat16"), ((15, 2), "bfloat16")):
        newer = lambda major, minor, v=version: v >= (major, minor)  # noqa: E731
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", newer)
        assert dtype.resolve("auto", "mps") == chosen
    for there, chosen in ((True, "bfloat16"), (False, "float32")):
        intel = SimpleNamespace(is_bf16_supported=lambda including_emulation, there=there: there, get_device_name=lambda: "Arc")
        monkeypatch.setattr(torch, "xpu", intel)
        assert dtype.resolve("auto", "xpu") == chosen


def test_mixed_precision_that_a_gpu_has_not_is_refused_in_a_line(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    gpus(monkeypatch, "Tesla T4")
    with pytest.raises(InputError) as caught:
        dtype.check_mixed_precision("cuda")
    [line] = caught.value.problems
    assert "Tesla T4" in line
    assert "7.5" in line
    assert "mixed_precision: 'no'" in line
    gpus(monkeypatch, "NVIDIA A10")
    dtype.check_mixed_precision("cuda")
    gpus(monkeypatch, "Tesla T4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    dtype.check_mixed_precision("cuda")


INTEL = "processor\t: 0\nmodel name\t: Xeon  X\nflags\t\t: fpu {}\n\nprocessor\t: 1\nflags\t\t: fpu\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd {}\n\n"


@pytest.mark.parametrize(
    ("text", "there", "chosen"),
    [
        (INTEL.format("avx2"), ("AVX2",), "float32"),
        (INTEL.format("avx2 avx512f avx512_bf16"), ("AVX2", "AVX512", "AVX512-BF16"), None),
        (INTEL.format("amx_tile amx_int8"), (), "float32"),  # tiles for other types alone
        (INTEL.format("amx_tile amx_bf16"), ("AMX-BF16",), None),
        (GRAVITON.format("svebf16 bf16"), ("Arm BF16", "SVE BF16"), None),
        (GRAVITON.format("asimdhp"), (), "float32"),
    ],
)
def test_a_dry_run_reads_the_kernels_list_and_the_kept_measurement(monkeypatch, tmp_path, text, there, chosen):
    cpuinfo(monkeypatch, tmp_path, text)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processor.listed_processor().has == there
    assert (found := dtype.foresee()) is chosen is None or found.dtype == chosen
    processor.measured_once(lambda: Measured(10.0, 15.0, 1.5))
    assert dtype.foresee().dtype == (chosen or "bfloat16")


def test_a_dry_run_leaves_an_accelerator_to_the_start(monkeypatch, tmp_path):
    driver = tmp_path / "version"
    monkeypatch.setattr(dtype, "DRIVERS", (str(driver),))
    monkeypatch.setattr(dtype.importlib.metadata, "version", lambda _: "2.13.0")
    cpuinfo(monkeypatch, tmp_path, INTEL.format("avx2"))
    assert dtype.foresee().dtype == "float32"
    driver.write_text("")
    assert dtype.foresee() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert dtype.foresee().dtype == "float32"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert dtype.foresee().dtype == "float32"


def test_foreseeing_leaves_torch_alone_and_forcing_holds_in_a_real_process(tmp_path):
    code = (
        "import sys; from infoagent.lm.machine import dtype; print(dtype.foresee()); print('torch' in sys.modules)\n"
        "print(dtype.choose('cpu'))"
    )
    forced = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, **forced, "INFOAGENT_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    foreseen, has_torch, chosen = done.stdout.splitlines()
    assert has_torch == "False"
    if torch.cpu.get_capabilities().get("architecture") == "x86_64":
        assert "dtype='float32'" in foreseen
        assert "dtype='float32'" in chosen
    assert not list(tmp_path.iterdir())  # nothing had to be measured
