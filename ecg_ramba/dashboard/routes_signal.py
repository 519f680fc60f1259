"""The signal at full rate, with levels of detail and filters."""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response

from ecg_ramba.dashboard import filtering
from ecg_ramba.dashboard.asked import Asked, Here, unless_deleted
from ecg_ramba.dashboard.levels import read_slice
from ecg_ramba.data.leads import LEADS
from ecg_ramba.files import read_json

router = APIRouter(prefix="/api/recordings/{id}", tags=["signal"])


def signal_facts(folder: Path, item: dict) -> dict:
    """What is stored of a recording's signal; 409 while there is none."""
    if not (folder / "signal.json").is_file():
        if item["status"] in ("refused", "failed"):
            raise HTTPException(409, f"{item['name']} has no signal: {item['error']}")
        raise HTTPException(409, f"{item['name']} is not read yet; it is {item['status']}")
    return read_json(folder / "signal.json")


@router.get("/signal")
def signal(item: Asked, here: Here) -> dict:
    """Leads and what became of each, rate, length, levels of detail, and the filters that the rate can hold."""
    from ecg_ramba.dashboard.analysis.filters import available

    facts = signal_facts(here.folder(item["id"]), item)
    filters, notches = available(facts["rate"])
    return facts | {"filters": filters, "notch": notches}


@router.get("/samples", response_class=Response)
def samples(
    item: Asked,
    here: Here,
    lead: Literal[LEADS],
    start: Annotated[int, Query(ge=0)] = 0,
    stop: Annotated[int, Query(ge=0)] = 2**40,
    level: Annotated[int, Query(ge=1)] = 1,
    filter: Literal[filtering.FILTERS] = "off",
    notch: Literal[filtering.NOTCHES] = "off",
) -> Response:
    """Millivolts as little-endian float32: one a sample at level 1, (minimum, maximum) of each `level` samples else.

    The headers X-Start and X-Stop say which samples are covered; an answer holds at most 2,000,000 numbers.
    """
    folder = here.folder(item["id"])
    facts = signal_facts(folder, item)
    if level not in facts["levels"]:
        raise HTTPException(422, f"there is no level {level}; there are {', '.join(map(str, facts['levels']))}")
    status = next(one["status"] for one in facts["leads"] if one["name"] == lead)
    if status == "missing":
        raise HTTPException(404, f"{item['name']} has no lead {lead}, and it does not follow from others")
    if (filter, notch) == ("off", "off"):
        content, begin, end = read_slice(folder / f"{lead}.lead", facts["samples"], level, start, stop)
    else:
        try:
            content, begin, end = here.filtered.slice(item["id"], lead, facts, (filter, notch), level, start, stop)
        finally:  # whatever went wrong then: that it was deleted is why
            unless_deleted(here, item)
    headers = {"X-Start": str(begin), "X-Stop": str(end)}
    return Response(content, media_type="application/octet-stream", headers=headers)
