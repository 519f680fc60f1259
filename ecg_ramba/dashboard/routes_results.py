"""What was computed of a recording: measurements, prediction, saliency, documents."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Response
from starlette.concurrency import run_in_threadpool

from ecg_ramba import __version__
from ecg_ramba.dashboard.analysis.poolings import DEFAULT_POOLING, POOLINGS
from ecg_ramba.dashboard.asked import Asked, Here, answered, unless_deleted
from ecg_ramba.dashboard.lanes import EXPRESS
from ecg_ramba.dashboard.results import prediction_of, saliency_path
from ecg_ramba.dashboard.room import NOTICE
from ecg_ramba.dashboard.routes_signal import signal_facts
from ecg_ramba.files import read_json, write_json

router = APIRouter(prefix="/api/recordings/{id}", tags=["results"])

METHODS = ("gradcam", "integrated_gradients")


def measured(folder: Path, item: dict) -> dict:
    """The measurements; 409 while there are none."""
    if not (folder / "measurements.json").is_file():
        signal_facts(folder, item)
        raise HTTPException(409, item["error"] or f"{item['name']} is not measured yet; it is {item['status']}")
    return read_json(folder / "measurements.json")


def predicted(here, folder: Path, item: dict, pooling: str) -> dict:
    """The prediction; 404 where there is no model, 409 while there is none, 422 where there cannot be one."""
    found = prediction_of(folder, pooling)
    if found is None:
        measured(folder, item)
        if item["status"] in ("queued", "running"):
            raise HTTPException(409, f"{item['name']} is not predicted yet; it is {item['status']}")
        if here.models.facts is None:
            raise HTTPException(404, "there is no model; train one, or start with ecg-ramba serve --models DIR")
        raise HTTPException(422, item["error"] or f"{item['name']} has no prediction")
    return found


@router.get("/measurements")
def measurements(item: Asked, here: Here) -> dict:
    """Beats, heart rate, RR, HRV, intervals, delineation, warnings."""
    return measured(here.folder(item["id"]), item)


@router.get("/prediction")
def prediction(item: Asked, here: Here, pooling: Literal[tuple(POOLINGS)] = DEFAULT_POOLING) -> dict:
    """Every class by the fold ensemble, groups, windows, streams."""
    return predicted(here, here.folder(item["id"]), item, pooling)


@router.get("/saliency")
async def saliency(
    item: Asked,
    here: Here,
    cls: Annotated[str, Query(alias="class", max_length=40)],
    method: Literal[METHODS] = "gradcam",
    window: Annotated[int, Query(ge=0, le=10**7)] = 0,
) -> dict:
    """Which stretches of a window the network's answer for a class rests on; computed when asked, and kept."""
    folder = here.folder(item["id"])
    facts = await run_in_threadpool(predicted, here, folder, item, DEFAULT_POOLING)
    if here.models.facts is None:
        raise HTTPException(404, "there is no model; start with ecg-ramba serve --models DIR")
    classes = [one["class"] for one in facts["classes"] if one["probability"] is not None]
    if cls not in classes:
        raise HTTPException(422, f"{cls!r} is no class that the models were trained on: {', '.join(classes)}")
    if window >= len(facts["windows"]):
        raise HTTPException(422, f"there is no window {window}: the recording has {len(facts['windows'])}")
    if facts["model"]["digest"] != here.models.facts["digest"]:
        raise HTTPException(409, f"{item['name']} is being predicted by other models; ask again")
    asked = {"cls": cls, "method": method, "window": window}
    path = saliency_path(folder, **asked)
    if path.is_file():
        return await run_in_threadpool(read_json, path)
    arguments = {"folder": str(folder), "name": item["name"], "asked": asked}
    found = await answered(here.models.submit("saliency", arguments, lane=EXPRESS))
    await run_in_threadpool(unless_deleted, here, item)
    return found


@router.get("/report.pdf", response_class=Response)
async def report(item: Asked, here: Here, pooling: Literal[tuple(POOLINGS)] = DEFAULT_POOLING) -> Response:
    """The ECG to scale, measurements, probabilities, digests and limits, as PDF."""
    folder = here.folder(item["id"])
    await run_in_threadpool(measured, folder, item)
    if item["status"] in ("queued", "running"):
        raise HTTPException(409, f"{item['name']} is still being analysed; its report would lack what is not there yet")
    await run_in_threadpool(write_json, folder / "facts.json", await run_in_threadpool(document_facts, here, item))
    arguments = {"folder": str(folder), "name": item["name"], "pooling": pooling}
    await answered(here.models.submit("document", arguments, lane=EXPRESS))
    await run_in_threadpool(unless_deleted, here, item)
    content = await run_in_threadpool((folder / "report.pdf").read_bytes)
    return Response(content, media_type="application/pdf", headers=_attached(item, "pdf"))


@router.get("/export.json")
def export(item: Asked, here: Here) -> Response:
    """Everything that is known of one recording, its samples apart."""
    import json

    folder = here.folder(item["id"])
    whole = {"item": item, "signal": signal_facts(folder, item), "facts": document_facts(here, item)}
    whole["measurements"] = read_json(folder / "measurements.json") if _there(folder / "measurements.json") else None
    whole["prediction"] = prediction_of(folder, DEFAULT_POOLING)
    whole["saliency"] = [read_json(path) for path in sorted(folder.glob("saliency-*.json"))]
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    return Response(text, media_type="application/json", headers=_attached(item, "json"))


def document_facts(here, item: dict) -> dict:
    """What a document says of where its numbers come from."""
    known = here.store.hidden(item["id"]) or {}
    return {
        "version": __version__,
        "notice": NOTICE,
        "uploaded": item["uploaded"],
        "format": item["format"],
        "files": known.get("sha256") or {},
        "understood": item["understood"],
        "answers": known.get("answers") or {},
        "note": item["note"],
    }


def _there(path: Path) -> bool:
    return path.is_file()


def _attached(item: dict, ending: str) -> dict[str, str]:
    """A file name for the browser; whatever the recording is called, it can only be a name."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(item['name'], safe='')}.{ending}"}
