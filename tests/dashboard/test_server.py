"""The API without models: uploads of every kind, questions, samples, history, refusals."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ecg_ramba.dashboard import filtering
from ecg_ramba.dashboard.settings import Settings
from ecg_ramba.data.leads import LEADS


def samples_agree(client, item, truth, leads=LEADS, tolerance=0.001):
    for lead, row in zip(leads, truth, strict=True):
        np.testing.assert_allclose(client.lead(item["id"], lead), row, atol=tolerance)


def test_state(client):
    found = client.get("/api/state").json()
    assert (found["models"], found["training"]) == (None, None)
    assert set(found["limits"]) == {"upload_mb", "files", "hours"}
    assert "not a medical device" in found["notice"]


def test_every_format_by_upload(client, make, tmp_path):
    truth, names = make.ecg(), list(LEADS)
    files = {
        "WFDB": make.wfdb(tmp_path / "w"),
        "MATLAB": {"m.mat": make.mat(val=truth, fs=500.0)},
        "CSV": {"c.csv": make.csv(truth, ["t", *names], time=np.arange(5000) / 500)},
        "JSON": {"j.json": make.json(truth, rate=500)},
        "EDF": {"e.edf": make.edf(tmp_path, truth, names)},
        "DICOM": {"d.dcm": make.dicom(truth, names)},
    }
    answer = client.upload(*files.values())
    assert [item["format"] for item in answer["items"]] == list(files)
    assert answer["skipped"] == []
    for item in answer["items"]:
        item = client.settled(item["id"])
        assert item["status"] == "done", item["error"]
        assert item["understood"]["leads"] == names
        assert (item["understood"]["rate"], item["understood"]["seconds"]) == (500.0, 10.0)
        assert item["preview"]["lead"] == "II"
        assert 2 <= len(item["preview"]["values"]) <= 600
        samples_agree(client, item, truth)
        assert not list(client.room.folder(item["id"]).glob("sent*"))


def test_measurements_and_no_model(client, make, tmp_path):
    item = client.one(make.wfdb(tmp_path / "w", "HR75"))
    found = client.get(f"/api/recordings/{item['id']}/measurements").json()
    assert found["heart_rate"]["mean"] == pytest.approx(75, abs=1)  # a beat each 0.8 s
    assert item["summary"]["heart_rate"] == found["heart_rate"]["mean"]
    assert item["summary"]["group"] is None
    answer = client.get(f"/api/recordings/{item['id']}/prediction")
    assert answer.status_code == 404
    assert "no model" in answer.json()["error"]
    whole = client.get(f"/api/recordings/{item['id']}/export.json").json()
    assert whole["measurements"] == found
    assert re.fullmatch("[0-9a-f]{64}", whole["facts"]["files"]["HR75.hea"])


def test_pdf_of_measurements(client, make, tmp_path):
    item = client.one(make.wfdb(tmp_path / "w", 'Na"me'))
    answer = client.get(f"/api/recordings/{item['id']}/report.pdf")
    assert answer.content.startswith(b"%PDF")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Na%22me.pdf"


def test_an_archive_with_folders_and_what_is_beside(client, make, tmp_path):
    files = {f"a/{n}": c for n, c in make.wfdb(tmp_path / "a", "R1").items()}
    files |= {f"b/{n}": c for n, c in make.wfdb(tmp_path / "b", "R1", signal=2 * make.ecg()).items()}
    files |= {
        "a/R1.atr": b"x",
        "README.txt": b"hello",
        "b/x.bin": bytes(range(32)),
        "t.csv": make.csv(make.ecg(), LEADS),
    }
    answer = client.upload(("all.zip", make.zip(files)))
    assert [item["name"] for item in answer["items"]] == ["R1", "R1", "t"]
    assert len(answer["skipped"]) == 3
    one, two, three = (client.settled(item["id"]) for item in answer["items"])
    samples_agree(client, one, make.ecg())
    samples_agree(client, two, 2 * make.ecg())
    assert three["status"] == "question"


def test_derived_and_missing_leads(client, make):
    item = client.one(("two.json", make.json(make.ecg(leads=("I", "II", "V3")), "I,II,V3", rate=500)))
    facts = client.get(f"/api/recordings/{item['id']}/signal").json()
    status = {lead["name"]: lead["status"] for lead in facts["leads"]}
    assert list(status) == list(LEADS)
    assert [status[lead] for lead in ("I", "III", "aVF", "V3", "V1")] == [
        "measured",
        "derived",
        "derived",
        "measured",
        "missing",
    ]
    samples_agree(client, item, make.ecg()[:6], LEADS[:6], 1e-6)
    answer = client.get(f"/api/recordings/{item['id']}/samples", params={"lead": "V1"})
    assert answer.status_code == 404


def test_a_dead_lead_derives_nothing(client, make):
    truth = make.ecg(leads=("I", "II"))
    truth[0] = 0
    item = client.one(("dead.json", make.json(truth, "I,II", rate=500)))
    facts = client.get(f"/api/recordings/{item['id']}/signal").json()
    assert [lead["status"] for lead in facts["leads"][:3]] == ["dead", "measured", "missing"]


def test_gaps_stay_gaps(client, make):
    truth = make.ecg(leads=("I", "II"))
    truth[1, 100:200] = np.nan
    content = make.json(truth, "I,II", rate=500).replace(b"NaN", b"null")
    item = client.one(("gaps.json", content))
    assert any("100 of 5000 samples are missing" in note for note in item["understood"]["notes"])
    np.testing.assert_allclose(client.lead(item["id"], "II"), truth[1], atol=1e-6)
    assert np.isnan(client.lead(item["id"], "III")[100:200]).all()


def test_a_question_is_answered(client, make):
    item = client.one(("q.csv", make.csv(make.ecg(leads=("I", "II")) * 1000)))
    assert item["status"] == "question"
    assert [q["field"] for q in item["questions"]] == ["leads", "rate", "units"]
    place = f"/api/recordings/{item['id']}"
    assert client.get(f"{place}/signal").status_code == 409
    wrong = client.post(f"{place}/answers", json={"rate": 500, "leads": ["I"]})
    assert (wrong.status_code, "1 lead names for 2" in wrong.json()["error"]) == (422, True)
    assert client.post(f"{place}/answers", json={"rate": -1}).status_code == 422
    assert client.post(f"{place}/answers", json={"colour": "red"}).status_code == 422
    half = client.post(f"{place}/answers", json={"rate": 500, "leads": ["I", "II"]}).json()
    assert [q["field"] for q in half["questions"]] == ["units"]
    assert client.post(f"{place}/answers", json={"units": "uV"}).status_code == 200
    item = client.settled(item["id"])
    assert item["status"] == "done"
    samples_agree(client, item, make.ecg(leads=("I", "II")), ("I", "II"))
    assert not list(client.room.folder(item["id"]).glob("raw*"))
    assert client.post(f"{place}/answers", json={"rate": 250}).status_code == 422  # nothing is asked any more


@pytest.mark.parametrize(
    ("seconds", "rate", "error"),
    [(0.5, 500, "0.50 s"), (10, 100, ""), (10, 1000, ""), (10, 50, "50 samples per second")],
)
def test_odd_lengths_and_rates_are_shown(client, make, seconds, rate, error):
    truth = make.ecg(rate, seconds)
    item = client.one((f"{rate}-{seconds}.json", make.json(truth, rate=rate)))
    assert item["status"] == "done", item["error"]
    samples_agree(client, item, truth, tolerance=1e-6)


def test_refused_with_a_sentence(client, make, tmp_path):
    files = make.wfdb(tmp_path / "w", "HALF")
    names = sorted(files)
    header = next(n for n in names if n.endswith(".hea"))
    cases = {
        (header, files[header]): "drop them together",
        ("letter.mat", b"dear colleague\n" * 50): r"named \.mat but is a text file",
        ("empty.csv", b""): "empty",
        ("x.zip", b"PK\x03\x04" + bytes(50)): "archive is damaged",
        ("flat.json", make.json(np.ones((2, 5000)), "I,II", rate=500)): "constant",
    }
    for file, pattern in cases.items():
        item = client.one(file)
        assert item["status"] == "refused"
        assert re.search(pattern, item["error"]), item["error"]
        assert "/" not in item["error"].replace(".dat or .mat", "")
        assert client.get(f"/api/recordings/{item['id']}/measurements").status_code == 409


def test_names_are_text_and_never_paths(client, make):
    content = make.json(make.ecg(), rate=500)
    for name in (
        "../../../tmp/evil.json",
        "<script>alert(1)</script>.json",
        "a\x00b\r\n.json",
        "C:\\x\\y.json",
        "." * 300,
    ):
        item = client.one((name, content))
        assert item["status"] == "done", (name, item)
        assert len(item["name"]) <= 200
        assert item["name"].isprintable()
        assert ".." not in item["name"].split("/")
    assert {p.name for p in client.room.settings.state.iterdir()} >= {"recordings", "history.sqlite"}


def test_notes_search_and_deletion(client, make):
    item = client.one(("Unique-Name-77.json", make.json(make.ecg(), rate=500)))
    place = f"/api/recordings/{item['id']}"
    assert client.patch(place, json={"note": "<b>Zebra</b>"}).json()["note"] == "<b>Zebra</b>"
    for text in ("zebra", "unique-name"):
        found = client.get("/api/recordings", params={"search": text}).json()
        assert (found["total"], found["items"][0]["id"]) == (1, item["id"])
    assert client.get("/api/recordings", params={"search": "z%a"}).json()["total"] == 0
    folder = client.room.folder(item["id"])
    assert folder.is_dir()
    assert client.delete(place).status_code == 204
    assert not folder.exists()
    assert client.get(place).status_code == 404
    assert client.delete(place).status_code == 404
    assert client.get("/api/recordings", params={"search": "zebra"}).json()["total"] == 0


@pytest.mark.parametrize(
    "path", ["/api/recordings/../../etc/passwd", "/api/recordings/r_1", "/api/nothing", "/../x.txt"]
)
def test_what_is_not_there(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422) or "<html" in answer.text  # the page, for addresses of its own
    assert "root:" not in answer.text


def test_samples_that_cannot_be_asked_for(client, make):
    item = client.one(("s.json", make.json(make.ecg(), rate=500)))
    for query in ({}, {"lead": "V9"}, {"lead": "II", "level": 3}, {"lead": "II", "start": -1}, {"lead": "../II"}):
        answer = client.get(f"/api/recordings/{item['id']}/samples", params=query)
        assert answer.status_code == 422
        assert set(answer.json()) == {"error"}
    for query in ({"filter": "1-2"}, {"notch": "70"}):
        assert client.get(f"/api/recordings/{item['id']}/samples", params={"lead": "II"} | query).status_code == 422


def test_filters(client, make):
    item = client.one(("f.json", make.json(make.ecg() + 3.0, rate=500)))
    raw = client.lead(item["id"], "II")
    filtered = client.lead(item["id"], "II", filter="0.5-40")
    assert raw.mean() > 2.9
    assert abs(filtered.mean()) < 0.1
    assert np.ptp(filtered) > 0.7 * np.ptp(raw)
    levels = client.get(f"/api/recordings/{item['id']}/signal").json()["levels"]
    pairs = client.lead(item["id"], "II", filter="0.5-40", level=levels[-1]).reshape(-1, 2)
    assert pairs.max() == filtered.max()


def test_predict_keeps_nothing(client, make, tmp_path):
    before = client.get("/api/recordings").json()["total"]
    files = [("files", pair) for pair in make.wfdb(tmp_path / "w", "P").items()]
    answer = client.post("/api/predict", files=files)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"understood", "measurements", "prediction"}
    assert answer.json()["measurements"]["heart_rate"]["mean"] == pytest.approx(75, abs=1)
    assert client.get("/api/recordings").json()["total"] == before
    assert not any(client.room.settings.incoming.iterdir())
    asked = client.post("/api/predict", files=[("files", ("x.csv", make.csv(make.ecg())))])
    assert asked.status_code == 422
    assert "(field rate)" in asked.json()["error"]
    answered = client.post("/api/predict", files=[("files", ("x.csv", make.csv(make.ecg())))], data={"rate": "500"})
    assert answered.json()["understood"]["rate"] == 500
    for bad in ({"rate": "fast"}, {"rate": "500", "units": "furlong"}, {"rate": "500", "leads": "I,II"}):
        answer = client.post("/api/predict", files=[("files", ("x.csv", make.csv(make.ecg())))], data=bad)
        assert answer.status_code == 422
    two = [("files", (f"{i}.csv", make.csv(make.ecg()))) for i in range(2)]
    assert "2 recordings" in client.post("/api/predict", files=two).json()["error"]


def test_multipart_that_is_none(client):
    assert client.post("/api/uploads", content=b"x").status_code == 415
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (
        b"",
        b"--b",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\nabc',
    ):
        answer = client.post("/api/uploads", content=body, headers=kind)
        assert answer.status_code == 400, (body, answer.text)
    assert client.post("/api/uploads", data={"a": "b"}, files=[]).status_code == 415
    assert not any(client.room.settings.incoming.iterdir())


def test_openapi_describes_the_api(client):
    found = client.get("/api/openapi.json").json()
    assert {"/api/uploads", "/api/predict", "/api/recordings/{id}/samples"} <= set(found["paths"])
    assert "Item" in found["components"]["schemas"]
    assert not any(path.startswith("/{") for path in found["paths"])


def test_limits_of_an_upload(open_server, make, tmp_path):
    with open_server(Settings(state=tmp_path / "s", upload_mb=1, files=3, hours=0.002)) as small:
        answer = small.upload(("big.csv", b"1,2\n" * 300_000), status=413)
        assert "more than 1 MB" in answer["error"]
        answer = small.upload(*[(f"{i}.csv", b"1") for i in range(4)], status=413)
        assert "more than 3 files" in answer["error"]
        item = small.one(("long.json", make.json(make.ecg(100, 10, ("II",)), "II", rate=100)))
        assert "recordings of up to 0.002 h" in item["error"]
        assert not any(small.room.settings.incoming.iterdir())

        def endless():  # no length is stated
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.csv"\r\n\r\n'
            for _ in range(40):
                yield b"1,2\n" * 10_000

        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        assert small.post("/api/uploads", content=endless(), headers=kind).status_code == 413


def test_fifty_uploads_at_once(client, make, tmp_path):
    before = client.get("/api/recordings").json()["total"]
    recordings = [make.json((1 + i / 50) * make.ecg(100, 6, ("II",)), "II", rate=100) for i in range(50)]

    def send(i):
        return client.upload((f"many{i}.json", recordings[i]))["items"][0]["id"]

    with ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(send, range(50)))
    assert len(set(ids)) == 50
    assert client.get("/api/recordings", params={"search": "many"}).json()["total"] == 50
    assert client.get("/api/recordings").json()["total"] == before + 50
    for i, id in enumerate(ids):
        item = client.settled(id, 240)
        assert (item["status"], item["name"]) == ("done", f"many{i}")
        np.testing.assert_allclose(client.lead(id, "II"), (1 + i / 50) * make.ecg(100, 6, ("II",))[0], atol=1e-5)


def test_a_restart_keeps_history_and_goes_on(open_server, make, tmp_path):
    settings = Settings(state=tmp_path / "s")
    with open_server(settings) as first:
        done = first.one(("done.json", make.json(make.ecg(), rate=500)))
        asked = first.one(("asked.csv", make.csv(make.ecg())))
        first.patch(f"/api/recordings/{done['id']}", json={"note": "kept"})
        late = first.upload(*[(f"late{i}.json", make.json(make.ecg(), rate=500)) for i in range(6)])["items"]
    (tmp_path / "s" / "recordings" / "r_of_nobody").mkdir()
    with open_server(settings) as second:
        assert second.get(f"/api/recordings/{done['id']}").json() == done | {"note": "kept"}
        for item in late:
            assert second.settled(item["id"])["status"] == "done"
        assert second.post(f"/api/recordings/{asked['id']}/answers", json={"rate": 500}).status_code == 200
        assert second.settled(asked["id"])["status"] == "done"
        assert second.get("/api/recordings").json()["total"] == 8
        assert not (tmp_path / "s" / "recordings" / "r_of_nobody").exists()
        assert second.delete("/api/recordings").status_code == 204
        assert not any((tmp_path / "s" / "recordings").iterdir())


def test_what_is_computed_for_a_deleted_recording_goes_too(client, make, monkeypatch):
    item = client.one(("late.json", make.json(make.ecg(), rate=500)))
    folder, kept = client.room.folder(item["id"]), client.room.filtered

    def deleted_meanwhile(*arguments):
        client.room.delete(item["id"])
        folder.mkdir()
        (folder / "II.lead").write_bytes(bytes(40_000))
        return filtering.Filtered.slice(kept, *arguments)

    monkeypatch.setattr(kept, "slice", deleted_meanwhile)
    query = {"lead": "II", "filter": "0.5-40"}
    assert client.get(f"/api/recordings/{item['id']}/samples", params=query).status_code == 404
    assert not folder.exists()
    assert list(kept.folder.glob(f"*{item['id']}*")) == []


def test_filtered_leads_are_kept_within_a_limit(open_server, make, tmp_path):
    settings = Settings(state=tmp_path / "s", filtered_mb=1)
    with open_server(settings) as here:
        item = here.one(("a.json", make.json(make.ecg(seconds=130), rate=500)))  # 0.4 MB a lead, with its levels
        folder = here.room.filtered.folder
        first = here.lead(item["id"], "I", filter="0.5-40")
        for lead in ("II", "III", "I", "V1"):
            here.lead(item["id"], lead, filter="0.5-40")
            assert sum(path.stat().st_size for path in folder.iterdir()) <= 2**20
        # I was looked at after II and III
        assert sorted(path.name.split("_")[2] for path in folder.iterdir()) == ["I", "V1"]
        for lead in ("II", "III"):
            here.lead(item["id"], lead, filter="0.5-40")
        assert not (folder / f"{item['id']}_I_0.5-40_off.lead").exists()
        np.testing.assert_array_equal(here.lead(item["id"], "I", filter="0.5-40"), first)  # made again, the same
        with ThreadPoolExecutor(12) as at_once:
            found = list(at_once.map(lambda lead: here.lead(item["id"], lead, filter="0.5-40", notch="50"), LEADS * 2))
        assert [one.size for one in found] == [65_000] * 24
        assert here.delete(f"/api/recordings/{item['id']}").status_code == 204
        assert list(folder.iterdir()) == []
        (folder / "left").write_bytes(b"by a server that was killed")
    with open_server(settings):
        assert list(folder.iterdir()) == []


def test_nothing_of_a_refused_file_stays(client):
    item = client.one(("letter.mat", b"\x00" * 1000))
    assert item["status"] == "refused"
    folder = client.room.folder(item["id"])
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("interrupted", [{"understood": None}, {}])
def test_a_stop_at_any_moment_of_reading(open_server, make, tmp_path, interrupted):
    settings = Settings(state=tmp_path / "s")
    with open_server(settings) as first:
        item = first.one(("a.json", make.json(make.ecg(), rate=500)))
        folder = first.room.folder(item["id"])
        (folder / "sent0").write_bytes(make.json(make.ecg(), rate=500))
        first.room.store.change(item["id"], status="running", summary=None, **interrupted)
    with open_server(settings) as second:
        found = second.settled(item["id"])
        assert (found["status"], found["understood"]) == ("done", item["understood"])
        assert found["summary"] == item["summary"]
        assert not (folder / "sent0").exists()


def test_the_page(open_server, tmp_path):
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html><p>page</p>")
    (static / "assets" / "a-123.js").write_text("1")
    (static / "secret.pem").write_text("key")
    with open_server(Settings(state=tmp_path / "s", static=static)) as c:
        assert "page" in c.get("/").text
        assert "page" in c.get("/recordings/r_1").text
        answer = c.get("/assets/a-123.js")
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
        for path in ("/secret.pem", "/assets/../secret.pem", "/assets/%2e%2e/secret.pem", "/..%2fsecret.pem", "/x.js"):
            assert c.get(path).status_code == 404
    with open_server(Settings(state=tmp_path / "s", static=tmp_path / "none")) as c:
        assert "not built" in c.get("/").text
