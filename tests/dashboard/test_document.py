"""The PDF is to scale in its own units, says what was computed, and marks what is missing; read back with pymupdf."""

import dataclasses
import json

import numpy as np
import pytest

from ecg_ramba import cli
from ecg_ramba.dashboard.analysis.document import NOTICE, write_pdf
from ecg_ramba.dashboard.analysis.inference import infer, models_digest
from ecg_ramba.dashboard.analysis.measurements import measure
from ecg_ramba.dashboard.analysis.warnings import quality_warnings
from ecg_ramba.data.leads import LEADS

pymupdf = pytest.importorskip("pymupdf", reason="pymupdf is not installed")

MM = 72 / 25.4
"""Points of a millimetre."""


def made(path, record, name="A0001", prediction=None, facts=None):
    measured = measure(record) | {"warnings": quality_warnings(record)}
    write_pdf(path, record, name, measured, prediction, facts or {})
    return pymupdf.open(path)


def text_of(document):
    return " ".join(" ".join(page.get_text() for page in document).split())


def lines(page):
    """(x0, y0, x1, y1) of every straight piece, with its path's number, colour and width."""
    found = []
    for number, path in enumerate(page.get_drawings()):
        for item in path["items"]:
            if item[0] == "l":
                a, b = item[1], item[2]
                found.append((number, a.x, a.y, b.x, b.y, path["color"], path["width"]))
    return found


def traces(page):
    """Polylines of many points: the drawn leads, as (points, 2) arrays in points."""
    out = []
    for path in page.get_drawings():
        pieces = [i for i in path["items"] if i[0] == "l"]
        if len(pieces) > 200 and path["color"][0] < 0.2:
            out.append(np.array([[p[1].x, p[1].y] for p in pieces] + [[pieces[-1][2].x, pieces[-1][2].y]]))
    return out


@pytest.fixture(scope="module")
def document(recording, tmp_path_factory):
    """Of a synthetic recording, without models."""
    return made(tmp_path_factory.mktemp("pdf") / "x.pdf", recording)


@pytest.fixture(scope="module")
def squares(record_of, tmp_path_factory):
    """The page of ten seconds of twelve leads at 250 samples a second: 1 mV for 0.4 s, every 1.2 s."""
    t = np.arange(2500) / 250
    wave = ((t % 1.2) < 0.4).astype(float)
    return made(tmp_path_factory.mktemp("pdf") / "x.pdf", record_of(np.tile(wave, (12, 1)), LEADS, 250.0))


def test_the_page_is_a4(document):
    page = document[0]
    assert page.rect.width / MM == pytest.approx(297, abs=0.1)
    assert page.rect.height / MM == pytest.approx(210, abs=0.1)


def test_the_grid_is_of_one_and_five_millimetres(document):
    page = document[0]
    by_width = {}
    for _, x0, y0, x1, y1, color, width in lines(page):
        if color and color[0] > 0.8 and color[1] < 0.8 and abs(x0 - x1) < 0.01 and abs(y0 - y1) > 300:
            by_width.setdefault(round(width, 2), set()).add(round(x0, 3))
    thin, thick = (np.sort(list(by_width[w])) for w in sorted(by_width))
    np.testing.assert_allclose(np.diff(thin) / MM, 1, atol=0.01)
    np.testing.assert_allclose(np.diff(thick) / MM, 5, atol=0.01)
    assert (thick[-1] - thick[0]) / MM == pytest.approx(250, abs=0.01)


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five(squares):
    page = squares[0]
    found = traces(page)
    assert len(found) == 13
    rhythm = max(found, key=len)
    height = (rhythm[:, 1].max() - rhythm[:, 1].min()) / MM
    assert height == pytest.approx(10, abs=0.01)
    assert np.ptp(rhythm[:, 0]) / MM == pytest.approx(250 - 0.1, abs=0.02)  # 2500 samples have 2499 steps
    low = rhythm[:, 1].max() - 1
    rises = rhythm[1:, 0][(rhythm[:-1, 1] > low) & (rhythm[1:, 1] < low - 10)]
    np.testing.assert_allclose(np.diff(rises) / MM, 1.2 * 25, atol=0.02)


def test_every_sample_is_drawn_where_it_belongs(document, recording):
    page = document[0]
    rhythm = max(traces(page), key=len)
    lead = recording.signal[recording.leads.index("II")].astype(float)
    n = min(len(lead), round(10 * recording.rate))
    mv = (lead[:n] - np.median(lead[: n + 1])) * 10
    assert len(rhythm) == n
    np.testing.assert_allclose((rhythm[:, 0] - rhythm[0, 0]) / MM, np.arange(n) / recording.rate * 25, atol=0.01)
    drawn = -(rhythm[:, 1] - rhythm[0, 1]) / MM
    inside = np.abs(mv) < 15
    np.testing.assert_allclose(drawn[inside], (mv - mv[0])[inside], atol=0.02)


def test_the_calibration_pulse_is_one_millivolt(document):
    page = document[0]
    found = 0
    for path in page.get_drawings():
        points = [p for i in path["items"] if i[0] == "l" for p in (i[1], i[2])]
        rect = path["rect"]
        if 4 < len(points) < 20 and rect.x1 < 27 * MM:
            assert rect.height / MM == pytest.approx(10, abs=0.01)
            top = [p.x for p in points if abs(p.y - rect.y0) < 0.01]
            assert (max(top) - min(top)) / MM == pytest.approx(5, abs=0.01)
            found += 1
    assert found == 4


def test_a_rendered_page_has_ink_where_the_trace_is(squares):
    page = squares[0]
    pixels = page.get_pixmap(dpi=254, colorspace=pymupdf.csGRAY)
    image = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width)
    row = image[:, round((27 + 2 + 25 * 0.2) * 10) - 20 : round((27 + 2 + 25 * 0.2) * 10)]
    assert (row < 90).all(axis=1).sum() >= 4


def test_missing_derived_and_flat_leads_are_marked(tmp_path, recording):
    rows = [recording.leads.index(n) for n in ("I", "II", "V1")]
    record = dataclasses.replace(recording, signal=recording.signal[rows].copy(), leads=("I", "II", "V1"))
    record.signal[2] = 0
    said = made(tmp_path / "x.pdf", record)[0].get_text()
    for lead in ("V2", "V3", "V4", "V5", "V6"):
        assert f"{lead}: not recorded" in said
    assert "V1: flat" in said
    assert "aVF (from I, II)" in said
    assert "I: not recorded" not in said


def test_it_says_what_was_computed(tmp_path, models, recording):
    prediction = infer(models, recording).json()
    document = made(
        tmp_path / "x.pdf", recording, prediction=prediction, facts={"files": {"a.hea": "12ab"}, "note": ""}
    )
    said = text_of(document)
    for row in prediction["classes"]:
        if row["probability"] is not None:
            assert f"{row['class']} {row['probability']:.3f}" in said
    assert models_digest(models) in said.replace(" ", "")
    assert recording.signal_digest in said.replace(" ", "")
    assert "files, a.hea: 12ab" in said
    assert "raw signal:" in said
    assert "Limits" in said
    for page in document:
        assert NOTICE in page.get_text()
        assert "SYNTHETIC: the models were trained on synthetic recordings" in page.get_text()


def test_real_models_are_not_marked_synthetic(tmp_path, models, recording):
    prediction = infer(models, recording).json() | {"synthetic": False}
    assert "SYNTHETIC" not in made(tmp_path / "x.pdf", recording, prediction=prediction)[0].get_text()


def test_without_models_it_says_so(document):
    said = text_of(document)
    assert "None: no models were loaded" in said
    assert "SYNTHETIC" not in said


def test_names_are_text_whatever_they_hold(tmp_path, recording):
    name = "$\\frac{1}{0}$ <b>x</b> & \x00\n" + "y" * 300
    said = made(tmp_path / "x.pdf", recording, name=name)[0].get_text()
    assert "$\\frac{1}{0}$ <b>x</b> & ??" in said


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_short_and_empty_recordings_have_a_page(tmp_path, record_of, seconds):
    document = made(tmp_path / "x.pdf", record_of(np.zeros((1, int(seconds * 500))), ("V3",)))
    assert "heart rate not measurable" in document[0].get_text()
    assert "not measurable:" in text_of(document)


def test_the_command_line(checkpoints, recording_file, tmp_path, capsys):
    ckpt = ["--ckpt", *map(str, checkpoints["ecg_ramba"])]
    out = tmp_path / "one.pdf"
    assert cli.main(["predict", str(recording_file), "--json", "--pdf", str(out), *ckpt]) == 0
    said = json.loads(capsys.readouterr().out)
    text = text_of(pymupdf.open(out))
    for row in said["classes"]:
        if row["probability"] is not None:
            assert f"{row['class']} {row['probability']:.3f}" in text
    other = sorted(recording_file.parent.glob("*.hea"))[1]
    files = [str(recording_file), str(other)]
    assert cli.main(["predict", *files, "--pdf", str(tmp_path / "many"), *ckpt]) == 0
    assert {p.name for p in (tmp_path / "many").glob("*.pdf")} == {f"{p.stem}.pdf" for p in (recording_file, other)}
    capsys.readouterr()
    assert cli.main(["predict", *files, "--pdf", str(out), *ckpt]) != 0
    assert "one file for 2 recordings; name a folder" in capsys.readouterr().err
