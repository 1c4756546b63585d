"""The site that a page of one site shows."""

from typing import Any

from gatectl.central import desk
from gatectl.central.web.guard import Visit
from gatectl.errors import NotFoundError


def chosen(visit: Visit) -> tuple[Any, list[Any]]:
    """The site in the query, else the first, and every site. Raises NotFoundError."""
    sites = desk.sites(visit.conn)
    wanted = visit.request.query_params.get("site", "").strip()
    for site in sites:
        if not wanted or site.id == wanted:
            return site, sites
    if wanted:
        raise NotFoundError(f"no site {wanted!r}", zh="没有这个小区")
    return None, sites


def in_path(visit: Visit) -> Any:
    """The site in the path. Raises NotFoundError."""
    for site in desk.sites(visit.conn):
        if site.id == visit.param("site"):
            return site
    raise NotFoundError("no such site", zh="没有这个小区")
