"""What routes share: the room, and a recording by the id that a client names."""

import asyncio
from concurrent.futures import Future
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from ecg_ramba.dashboard.room import Room


def room_of(request: Request) -> Room:
    """The room behind the application."""
    return request.app.state.room


Here = Annotated[Room, Depends(room_of)]


def known_item(here: Here, id: Annotated[str, Path(pattern=r"^r_[0-9a-f]{16}$")]) -> dict:
    """The item that a path names; 404 where there is none."""
    item = here.store.get(id)
    if item is None:
        raise HTTPException(404, "there is no such recording; it may have been deleted")
    return item


def unless_deleted(here: Room, item: dict) -> None:
    """After something was written for a recording: if it was deleted meanwhile, that goes as well; 404."""
    if here.store.get(item["id"]) is None:
        here.clear(item["id"])
        raise HTTPException(404, "the recording was deleted")


async def answered(job: Future):
    """What a job gives, or 503 where it was given up because the server stops or takes other models."""
    try:
        return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
        if job.cancelled():
            raise HTTPException(503, "the server is stopping, or loading other models; ask again") from None
        raise


Asked = Annotated[dict, Depends(known_item)]
