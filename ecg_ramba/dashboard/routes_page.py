"""The built page, served from the package: only files that were there when the server started."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

router = APIRouter(include_in_schema=False)

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
NO_PAGE = """The page is not built in this checkout, so there is nothing to see here; the API answers under /api.
Build it (Node 20 or later): cd ecg_ramba/dashboard/web && npm ci && npm run build
"""


def page_files(settings) -> dict:
    """The page's files by the path that a browser asks for; only kinds that a page is made of."""
    root = settings.static
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix in TYPES] if root.is_dir() else []
    return {path.relative_to(root).as_posix(): path for path in files}


@router.get("/api/{rest:path}")
def unknown(rest: str) -> Response:
    """A path of the API that is none."""
    raise HTTPException(404, f"the API has no /api/{rest[:100]}; it is described at /api/openapi.json")


@router.get("/{path:path}")
def page(path: str, request: Request) -> Response:
    """A file of the page, or the page itself for addresses that it makes for itself."""
    files = request.app.state.page
    if "index.html" not in files:
        return PlainTextResponse(NO_PAGE, 404 if path else 200)
    found = files.get(path or "index.html")
    if found is None:
        if "." in path.rpartition("/")[2]:
            raise HTTPException(404, f"there is no {path[:100]}")
        found = files["index.html"]
    hashed = path.startswith("assets/")
    caching = "public, max-age=31536000, immutable" if hashed else "no-cache"
    return FileResponse(found, media_type=TYPES[found.suffix], headers={"Cache-Control": caching})
