"""The server with models: predictions are those of ``ecg-ramba predict``; deletion, breakdowns, restarts."""

import os
import signal
import time

import numpy as np
import pytest

from ecg_ramba.dashboard.settings import Settings
from ecg_ramba.harness.predict import predict_record, read_recording
from ecg_ramba.harness.trained import load_models


@pytest.fixture(scope="module")
def reader(open_server, models_folder, tmp_path_factory):
    """A client of a server with these models."""
    with open_server(Settings(state=tmp_path_factory.mktemp("state"), models=models_folder)) as made:
        yield made


@pytest.fixture
def wait(reader):
    def until(condition, seconds=60):
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends
            time.sleep(0.02)

    return until


def test_the_state_says_synthetic(reader):
    found = reader.get("/api/state").json()["models"]
    assert found["synthetic"] is True
    assert found["folds"] == 2
    assert reader.post("/api/train").status_code == 409


def test_a_prediction_is_that_of_the_command(reader, make, models_folder, tmp_path):
    item = reader.one(make.wfdb(tmp_path / "w", "P1"))
    assert item["status"] == "done", item["error"]
    truth = predict_record(
        load_models(sorted(models_folder.glob("fold*.pt"))), read_recording(tmp_path / "w" / "P1.hea")
    )
    found = reader.get(f"/api/recordings/{item['id']}/prediction").json()
    assert found["synthetic"] is True
    assert "says nothing of patients" in found["not_for_use"]
    assert len(found["windows"]) == truth.windows
    for one, row in zip(found["classes"], truth.classes.to_dict("records"), strict=True):
        assert one["class"] == row["class"]
        expected = None if np.isnan(row["probability"]) else pytest.approx(row["probability"], abs=1e-5)
        assert one["probability"] == expected
    single = reader.post("/api/predict", files=[("files", p) for p in make.wfdb(tmp_path / "v", "P1").items()]).json()
    assert single["prediction"]["classes"] == found["classes"]


def test_pooling_is_chosen(reader, make):
    item = reader.one(("long.json", make.json(make.ecg(seconds=30), rate=500)))
    place = f"/api/recordings/{item['id']}/prediction"
    highest = reader.get(place, params={"pooling": "max"}).json()
    middle = reader.get(place, params={"pooling": "mean"}).json()
    assert (highest["pooling"], middle["pooling"]) == ("max", "mean")
    assert highest["windows"] == middle["windows"]
    for one, windows in (
        (c, [w["probability"].get(c["class"]) for w in highest["windows"]]) for c in highest["classes"]
    ):
        if one["probability"] is not None:
            assert one["probability"] == pytest.approx(max(windows), abs=1e-5)
    assert reader.get(place, params={"pooling": "median"}).status_code == 422


def test_saliency_is_computed_and_kept(reader, make, tmp_path):
    item = reader.one(make.wfdb(tmp_path / "w", "S1"))
    place = f"/api/recordings/{item['id']}"
    classes = reader.get(f"{place}/prediction").json()["classes"]
    cls = next(c["class"] for c in classes if c["probability"] is not None)
    for method in ("gradcam", "integrated_gradients"):
        asked = {"class": cls, "method": method, "window": 1}
        first = reader.get(f"{place}/saliency", params=asked)
        assert first.status_code == 200, first.text
        assert (first.json()["class"], first.json()["window"]) == (cls, 1)
        assert reader.get(f"{place}/saliency", params=asked).json() == first.json()
    kept = reader.get(f"{place}/export.json").json()["saliency"]
    assert {one["method"] for one in kept} == {"gradcam", "integrated_gradients"}
    for wrong in (
        {"class": "XX"},
        {"class": cls, "window": 99},
        {"class": cls, "method": "lime"},
        {"class": "../x"},
        {},
    ):
        assert reader.get(f"{place}/saliency", params=wrong).status_code == 422


def test_the_pdf(reader, make, tmp_path):
    item = reader.one(make.wfdb(tmp_path / "w", "D1"))
    answer = reader.get(f"/api/recordings/{item['id']}/report.pdf")
    assert answer.content.startswith(b"%PDF")
    assert answer.headers["content-type"] == "application/pdf"


@pytest.mark.parametrize(("seconds", "rate", "why"), [(0.5, 500, "5 s"), (10, 50, "50 samples per second")])
def test_what_cannot_be_predicted_is_measured_and_says_why(reader, make, seconds, rate, why):
    item = reader.one(("short.json", make.json(make.ecg(rate, seconds), rate=rate)))
    assert item["status"] == "done"
    assert item["error"].startswith("no prediction: ")
    assert why in item["error"]
    place = f"/api/recordings/{item['id']}"
    assert reader.get(f"{place}/measurements").status_code == 200
    answer = reader.get(f"{place}/prediction")
    assert (answer.status_code, answer.json()["error"]) == (422, item["error"])


def test_somebody_who_waits_comes_before_the_queue(reader, make, tmp_path):
    done = reader.one(make.wfdb(tmp_path / "w", "W1"))
    long = reader.upload(*[(f"q{i}.json", make.json(make.ecg(seconds=60), rate=500)) for i in range(4)])["items"]
    assert reader.get(f"/api/recordings/{done['id']}/report.pdf").status_code == 200
    assert reader.get(f"/api/recordings/{long[-1]['id']}").json()["status"] in ("queued", "running")
    for item in long:
        assert reader.settled(item["id"], 120)["status"] == "done"


def test_deleted_while_it_is_worked_on(reader, make, wait):
    item = reader.upload(("gone.json", make.json(make.ecg(seconds=300), rate=500)))["items"][0]
    place = f"/api/recordings/{item['id']}"
    wait(lambda: reader.get(place).json()["status"] == "running")
    assert reader.delete(place).status_code == 204
    assert reader.one(("next.json", make.json(make.ecg(), rate=500)))["status"] == "done"
    assert reader.get(place).status_code == 404
    wait(lambda: not reader.room.folder(item["id"]).exists())


def stage_of(reader, id):
    return (reader.get(f"/api/recordings/{id}").json()["progress"] or {}).get("stage")


def test_stopped_while_it_is_predicted_and_taken_up_again(reader, make, wait):
    item = reader.upload(("stopped.json", make.json(make.ecg(seconds=300), rate=500)))["items"][0]
    place = f"/api/recordings/{item['id']}"
    wait(lambda: stage_of(reader, item["id"]) == "predicting")
    early = reader.get(f"{place}/measurements")
    assert early.status_code == 200  # before the prediction is there
    assert reader.get(f"{place}/report.pdf").status_code == 409
    assert reader.post(f"{place}/stop").status_code == 202
    found = reader.settled(item["id"])
    assert (found["status"], found["error"]) == ("done", "no prediction: it was stopped")
    assert found["summary"]["heart_rate"] == early.json()["heart_rate"]["mean"]
    assert reader.get(f"{place}/prediction").status_code == 422
    assert reader.post(f"{place}/stop").status_code == 409
    assert reader.room.store.hidden(item["id"])["model"] == reader.room.models.facts["digest"]  # no start takes it up
    assert reader.post(f"{place}/analyse").status_code == 202
    assert reader.settled(item["id"], 120)["error"] == ""
    assert reader.get(f"{place}/prediction").status_code == 200


def test_stopped_while_it_waits(reader, make, wait):
    first, second = (
        reader.upload((f"{name}.json", make.json(make.ecg(seconds=200), rate=500)))["items"][0] for name in "ab"
    )
    place = f"/api/recordings/{second['id']}"
    wait(lambda: stage_of(reader, second["id"]) == "waiting")
    assert reader.post(f"{place}/stop").status_code == 202
    found = reader.get(place).json()
    assert (found["status"], found["error"]) == ("failed", "it was stopped before it was measured")
    assert reader.settled(first["id"], 120)["error"] == ""


def test_short_recordings_come_between_while_a_long_one_is_read(reader, make, wait):
    long = reader.upload(("long.json", make.json(make.ecg(seconds=600), rate=500)))["items"][0]
    wait(lambda: stage_of(reader, long["id"]) in ("measuring", "predicting"))
    short = reader.one(("short.json", make.json(make.ecg(), rate=500)))
    assert (short["status"], short["error"]) == ("done", "")
    assert reader.get(f"/api/recordings/{long['id']}").json()["status"] == "running"
    assert reader.settled(long["id"], 120)["error"] == ""


def test_what_was_computed_before_is_not_the_next_models(reader, make):
    item = reader.one(("again.json", make.json(make.ecg(), rate=500)))
    place = f"/api/recordings/{item['id']}"
    classes = reader.get(f"{place}/prediction").json()["classes"]
    cls = next(c["class"] for c in classes if c["probability"] is not None)
    assert reader.get(f"{place}/saliency", params={"class": cls}).status_code == 200
    assert len(reader.get(f"{place}/export.json").json()["saliency"]) == 1
    assert reader.post(f"{place}/analyse").status_code == 202
    assert reader.settled(item["id"])["error"] == ""
    assert reader.get(f"{place}/export.json").json()["saliency"] == []


def test_a_killed_analysis_fails_alone(reader, make, wait):
    item = reader.upload(("killed.json", make.json(make.ecg(seconds=300), rate=500)))["items"][0]
    other = reader.upload(("other.json", make.json(make.ecg(seconds=130), rate=500)))["items"][0]
    place = f"/api/recordings/{item['id']}"
    wait(lambda: (reader.get(place).json()["progress"] or {}).get("stage") == "predicting")
    os.kill(reader.room.models._process.pid, signal.SIGKILL)
    failed = reader.settled(item["id"])
    assert (failed["status"], "broke down" in failed["error"]) == ("failed", True)
    assert reader.settled(other["id"])["status"] == "done"


def test_models_that_come_later_predict_what_is_there(open_server, make, models_folder, tmp_path):
    settings = {"state": tmp_path / "s"}
    with open_server(Settings(**settings)) as without:
        item = without.one(("a.json", make.json(make.ecg(), rate=500)))
        assert without.get(f"/api/recordings/{item['id']}/prediction").status_code == 404
    with open_server(Settings(**settings, models=models_folder)) as with_models:
        assert with_models.settled(item["id"])["status"] == "done"
        assert with_models.get(f"/api/recordings/{item['id']}/prediction").status_code == 200


def test_models_that_cannot_be_loaded_are_said(open_server, tmp_path):
    from ecg_ramba.errors import UserError

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "fold1_best.pt").write_bytes(b"no checkpoint")
    with (
        pytest.raises(UserError, match="fold1_best"),
        open_server(Settings(state=tmp_path / "s", models=tmp_path / "m")),
    ):
        pass
