"""The worklist: uploads, answers, notes, search, deletion; the server's state and its news."""

import shutil
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from ecg_ramba.dashboard import schemas
from ecg_ramba.dashboard.asked import Asked, Here
from ecg_ramba.dashboard.routes_signal import signal_facts
from ecg_ramba.dashboard.uploads import receive
from ecg_ramba.files import check_space

router = APIRouter(prefix="/api", tags=["worklist"])

FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    "required": ["files"],
                }
            }
        },
    }
}
REFUSALS = {413: {"model": schemas.Error}, 422: {"model": schemas.Error}}


@router.get("/state")
def state(here: Here) -> dict:
    """Version, models, training, limits."""
    return here.state()


@router.post("/train", status_code=202, responses={409: {"model": schemas.Error}})
def train(here: Here) -> dict:
    """Train the small profile on the embedded synthetic cohort, in the background."""
    if here.models.facts is not None:
        raise HTTPException(409, "there are models already; training is for a server that has none")
    if not here.training.start():
        raise HTTPException(409, "training runs already")
    here.tell_state()
    return {}


@router.post("/uploads", status_code=201, response_model=schemas.Uploaded, responses=REFUSALS, openapi_extra=FILES)
async def upload(request: Request, here: Here):
    """Files, many at once: those of one recording are put together, archives are opened."""
    folder = await run_in_threadpool(here.new_folder)
    try:
        s = here.settings
        stated = request.headers.get("content-length", "")
        size = min(int(stated) if stated.isdecimal() else 0, s.upload_mb * 2**20)
        await run_in_threadpool(check_space, s.state, 4 * size, "these files")
        form = await receive(request, folder, most_mb=s.upload_mb, most_files=s.files)
        if not form.files:
            raise HTTPException(422, "no file came; send files in multipart fields called files")
        made = await run_in_threadpool(here.take, form.files, folder)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
    return {"items": made.items, "skipped": made.skipped}


@router.get("/recordings", response_model=schemas.Items)
def recordings(
    here: Here,
    search: Annotated[str, Query(max_length=200)] = "",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
):
    """The history, newest first; ``search`` looks in names and notes."""
    total, items = here.store.search(search, offset, limit)
    return {"total": total, "items": items}


@router.delete("/recordings", status_code=204)
def delete_everything(here: Here) -> Response:
    """Delete every recording for good."""
    here.delete_everything()
    return Response(status_code=204)


@router.get("/recordings/{id}", response_model=schemas.Item)
def recording(item: Asked):
    """One recording."""
    return item


@router.patch("/recordings/{id}", response_model=schemas.Item)
def note(item: Asked, here: Here, body: schemas.Note):
    """Write a note."""
    changed = here.changed(item["id"], note=body.note)
    if changed is None:
        raise HTTPException(404, "the recording was deleted")
    return changed


@router.delete("/recordings/{id}", status_code=204)
def delete(item: Asked, here: Here) -> Response:
    """Delete a recording for good: file, signal, results, history."""
    here.delete(item["id"])
    return Response(status_code=204)


@router.post("/recordings/{id}/answers", response_model=schemas.Item, responses=REFUSALS)
def answers(item: Asked, here: Here, body: schemas.Answers):
    """Answer what was asked; the recording goes on when nothing is left to ask."""
    changed = here.jobs.answer(item["id"], body.model_dump(exclude_none=True))
    if changed is None:
        raise HTTPException(404, "the recording was deleted")
    return changed


@router.post(
    "/recordings/{id}/stop", status_code=202, response_model=schemas.Item, responses={409: {"model": schemas.Error}}
)
def stop(item: Asked, here: Here):
    """Give up measuring and predicting a recording, soon; what was measured already stays."""
    if not here.jobs.stop(item["id"]):
        raise HTTPException(409, f"{item['name']} is not being analysed; it is {item['status']}")
    return item


@router.post(
    "/recordings/{id}/analyse", status_code=202, response_model=schemas.Item, responses={409: {"model": schemas.Error}}
)
def analyse(item: Asked, here: Here):
    """Measure and predict a recording again, one that was stopped or has failed."""
    if item["status"] not in ("done", "failed") or item["understood"] is None:
        raise HTTPException(409, f"{item['name']} cannot be analysed now; it is {item['status']}")
    signal_facts(here.folder(item["id"]), item)
    return here.jobs.analyse(item["id"]) or item


@router.get("/events", response_class=StreamingResponse)
async def events(here: Here) -> StreamingResponse:
    """News as they happen: `item` (an Item), `deleted` ({"id"}), `state` (the state), from the state on."""
    first = [("state", await run_in_threadpool(here.state))]
    return StreamingResponse(here.events.stream(first), media_type="text/event-stream")
