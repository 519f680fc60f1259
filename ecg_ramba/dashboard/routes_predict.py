"""One request for programs: a recording in, everything out, nothing kept."""

import shutil

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from ecg_ramba.dashboard.analysis.poolings import DEFAULT_POOLING
from ecg_ramba.dashboard.asked import Here, answered
from ecg_ramba.dashboard.lanes import EXPRESS
from ecg_ramba.dashboard.limited import call
from ecg_ramba.dashboard.results import prediction_of
from ecg_ramba.dashboard.room import Room
from ecg_ramba.dashboard.routes_recordings import FILES, REFUSALS
from ecg_ramba.dashboard.uploads import Form, receive
from ecg_ramba.files import read_json

router = APIRouter(prefix="/api", tags=["programs"])


@router.post("/predict", responses=REFUSALS, openapi_extra=FILES)
async def predict(request: Request, here: Here) -> dict:
    """The files of one recording (fields `rate`, `units`, `leads` answer what they do not say): what was understood,
    measurements, prediction (null without models). Nothing is kept."""
    s = here.settings
    folder = await run_in_threadpool(here.new_folder)
    try:
        form = await receive(request, folder, most_mb=s.upload_mb, most_files=s.files)
        name, understood = await run_in_threadpool(_read, here, form, folder)
        place = folder / "recording"
        job = here.models.submit("analyse", {"folder": str(place), "name": name}, lane=EXPRESS)
        outcome = await answered(job)
        if outcome["error"]:
            raise HTTPException(422, outcome["error"])
        measured = await run_in_threadpool(read_json, place / "measurements.json")
        predicted = await run_in_threadpool(prediction_of, place, DEFAULT_POOLING)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
    return {"understood": understood, "measurements": measured, "prediction": predicted}


def _read(here: Room, form: Form, folder) -> tuple[str, dict]:
    found = here.grouped(form.files, folder)
    if len(found.recordings) != 1:
        raise HTTPException(422, f"these files are {len(found.recordings)} recordings; send the files of one")
    (one,) = found.recordings
    if one.refused:
        raise HTTPException(422, one.refused)
    place = folder / "recording"
    place.mkdir()
    answers = {k: v for k, v in form.fields.items() if k in ("rate", "units", "leads") and v.strip()}
    arguments = {"files": {sent: str(p) for sent, p in one.files.items()}, "name": one.name, "kind": one.kind}
    arguments |= {"folder": str(place), "answers": answers, "hours": here.settings.hours}
    read = call("ecg_ramba.dashboard.read:read", arguments, here.settings.reader)
    if read["questions"]:
        asked = " ".join(f"{q['text']} (field {q['field']})" for q in read["questions"])
        raise HTTPException(422, asked)
    return one.name, read["understood"]
