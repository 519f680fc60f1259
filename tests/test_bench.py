"""Timings as tables: crossovers and ratios by hand, and the files that cannot be reported."""

import json
import math

import pandas as pd
import pytest
import torch

from bench.__main__ import main
from bench.contestants import CONTESTANTS, parameters
from bench.minimal import ssd_minimal
from bench.timings import KEYS, MACHINE, curves, overtakes, ratio, read_others, read_timings
from ecg_ramba.errors import UserError
from ecg_ramba.nn.mamba import BiMambaBlock
from ecg_ramba.nn.ssd import ssd_recurrent
from tests.nn.scans import inputs


def benchmark(contestant, length, seconds, part="core", direction="forward", batch=1, dtype="float32", **machine):
    values = (part, contestant, length, batch, direction, dtype)
    info = dict(zip(KEYS, values, strict=True)) | dict.fromkeys(MACHINE, "m") | {"threads": 2} | machine
    info |= {"parameters": 10, "peak_bytes": 2**20 * length, "forward_flops": 1e9}
    return {"extra_info": info, "stats": {"median": seconds, "q1": seconds, "q3": seconds, "rounds": 5}}


def write(path, *benchmarks):
    path.write_text(json.dumps({"datetime": "2026-01-02T03:04:05", "benchmarks": list(benchmarks)}))
    return path


@pytest.fixture
def timings(tmp_path):
    """A scan linear in length, against attention quadratic in it: they meet at 400."""
    cases = [benchmark("mamba_native", n, 1e-3 * n / 400) for n in (100, 200, 800)]
    cases += [benchmark("attention", n, 1e-3 * (n / 400) ** 2) for n in (100, 200, 800)]
    cases += [benchmark("mamba_minimal", n, 4e-3 * n / 400) for n in (100, 200, 800)]
    return write(tmp_path / "timings.json", *cases)


def test_a_crossover_on_log_axes_by_hand(timings):
    table, (machine,) = read_timings([timings])
    assert machine["date"] == "2026-01-02"
    times = curves(table, "core", "forward", 1, "float32")
    assert overtakes(times.loc["mamba_native"], times.loc["attention"]) == pytest.approx(400)
    assert math.isnan(overtakes(times.loc["mamba_minimal"], times.loc["attention"]))
    assert overtakes(times.loc["mamba_native"], times.loc["mamba_minimal"]) == 0
    assert math.isnan(overtakes(times.loc["attention"], times.loc["mamba_native"]))


def test_it_counts_from_where_it_stays_ahead():
    by_length = [pd.Series(v, index=[1, 10, 100, 1000]) for v in ([1, 5, 1, 1], [2, 2, 2, 2])]
    assert 10 < overtakes(*by_length) < 100


def test_ratios_are_geometric_means_over_the_cases_of_both(timings):
    table, _ = read_timings([timings])
    assert ratio(table, "mamba_minimal", "mamba_native", part="core") == pytest.approx((4, 4, 4))
    assert ratio(table, "attention", "mamba_native", length=[100, 800])[0] == pytest.approx(math.sqrt(0.25 * 2))
    assert math.isnan(ratio(table, "attention", "nobody")[0])


def test_the_report_as_it_is_typed(timings, tmp_path, capsys):
    assert main(["report", str(timings), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| core | mamba_native | attention | forward | float32 | 1 | 400 |" in text
    assert "| mamba_native | 0.25 (100) | 0.5 (200) | 2 (800) |" in text
    assert (tmp_path / "out" / "batch1-float32.png").read_bytes().startswith(b"\x89PNG")
    assert "report.md" in capsys.readouterr().out


def test_whole_models_and_features_are_listed(timings, tmp_path):
    others = [
        {"group": "small step", "param": "x", "extra_info": {"model": "resnet1d", "backend": "native", "windows": 48}},
        {"group": "read", "param": "wfdb", "extra_info": {"count": 8}},
        {"group": "recording", "param": None, "name": "test_recording", "extra_info": {"recordings": 1}},
    ]
    others = [o | {"stats": {"median": 0.096}} for o in others]
    more = write(tmp_path / "others.json", *others)
    assert read_others([timings, more]) == [
        ["small step", "resnet1d, native", "96", "2"],
        ["read", "wfdb", "96", "12"],
        ["recording", "test_recording", "96", "96"],
    ]
    assert main(["report", str(timings), str(more), "--out", str(tmp_path / "out")]) == 0
    assert "| read | wfdb | 96 | 12 |" in (tmp_path / "out" / "report.md").read_text()


def test_files_that_cannot_be_reported(timings, tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="no result of the benchmarks"):
        read_timings([tmp_path / "other.json"])
    with pytest.raises(UserError, match="a case stands there twice: core, mamba_native, 100"):
        read_timings([timings, timings])
    elsewhere = write(tmp_path / "elsewhere.json", benchmark("attention", 1600, 1.0, processor="another"))
    with pytest.raises(UserError, match="of several machines"):
        read_timings([timings, elsewhere])
    with pytest.raises(UserError, match="no timing of a layer"):
        read_timings([write(tmp_path / "empty.json")])
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert "no result of the benchmarks" in capsys.readouterr().err


def test_the_yardstick_is_the_scan():
    x, dt, A, B, C, _ = (t.detach() for t in inputs(2, 150, 3, 4, 5))
    torch.testing.assert_close(ssd_minimal(x, dt, A, B, C), ssd_recurrent(x, dt, A, B, C))


def test_encoders_of_equal_parameters_are():
    (equal,) = (c for c in CONTESTANTS if c.name == "attention_equal_parameters")
    assert parameters(equal.build()) == pytest.approx(parameters(BiMambaBlock(384)), rel=1e-3)


def test_a_name_stands_once_in_each_part():
    names = [(c.part, c.name) for c in CONTESTANTS]
    assert len(set(names)) == len(names)
