"""What a client may ask about the site: version, preferences, schemas. Source: SiteConfigApi, SchemaApi."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from transfer.sandbox.site import Site, caller
from transfer.sandbox.tables import table

SCHEMAS = Path(__file__).parent / "schemas"
FOR_EVERYONE = frozenset({"buildInfo", "siteHome", "siteId", "siteLogoPath", "siteUrl"})
FOR_USERS = frozenset({
    "checksums", "sitewideAnonymizationScript", "enableSitewideAnonymizationScript", "sitewideSeriesImportFilter",
    "sitewideSeriesImportFilterMode", "enableSitewideSeriesImportFilter", "zipExtensions",
})  # fmt: skip


class SiteInfo:
    """Answers ``/xapi``."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        config = "/xapi/siteConfig"
        return [
            Route(f"{config}/buildInfo", self.build_info),
            Route(f"{config}/buildInfo/{{key}}", self.build_info),
            Route(f"{config}/values/{{keys}}", self.values),
            Route(f"{config}/{{key}}", self.value),
            Route("/xapi/schemas", self.schemas),
            Route("/xapi/schemas/{name:path}", self.schema),
            Route("/data/search/elements", self.searchable),
            Route("/xapi/users/current", self.me),
            Route("/xapi/users/username", self.me),
            Route("/xapi/access/projects", self.access),
            Route("/xapi/anonymize/site/enabled", self.anonymizes),
            Route("/xapi/anonymize/projects/{project}", self.script),
            Route("/xapi/anonymize/projects/{project}/enabled", self.has_script),
        ]

    async def build_info(self, request: Request) -> Response:
        """Return the version followed and what this really is."""
        known = {
            "version": self._site.settings.version,
            "buildNumber": "0",
            "buildDate": "",
            "timestamp": "",
            "sha": "",
            "product": "k-space relay sandbox; this is not XNAT",
        }
        key = request.path_params.get("key")
        if key is None:
            return JSONResponse(known)
        if key not in known:
            raise HTTPException(404, "Unknown key.")
        return PlainTextResponse(known[key])

    def _preferences(self) -> dict[str, object]:
        settings = self._site.settings
        return {
            "checksums": self._site.checksums,
            "enableSitewideAnonymizationScript": False,
            "enableSitewideSeriesImportFilter": False,
            "sitewideAnonymizationScript": "",
            "sitewideSeriesImportFilter": "",
            "sitewideSeriesImportFilterMode": "blacklist",
            "zipExtensions": ["zip", "jar", "rar", "ear", "gar", "mrb"],
            "siteId": settings.site_id,
            "siteHome": "/",
            "siteLogoPath": "",
            "siteUrl": "",
            "sessionTimeout": f"{settings.session_timeout_s:.0f} seconds",
            "concurrentMaxSessions": settings.max_sessions,
        }

    def _value(self, request: Request, key: str) -> object:
        known = self._preferences()
        if key not in known:
            raise HTTPException(404, "Unknown key.")
        if key not in FOR_EVERYONE | FOR_USERS and not caller(request).admin:
            raise HTTPException(403, "Only administrators may read this preference.")
        return known[key]

    async def value(self, request: Request) -> Response:
        """Return one preference."""
        return JSONResponse(self._value(request, request.path_params["key"]))

    async def values(self, request: Request) -> Response:
        """Return several preferences."""
        return JSONResponse({key: self._value(request, key) for key in request.path_params["keys"].split(",")})

    async def schemas(self, _: Request) -> Response:
        """Return the names of the data type schemas."""
        return JSONResponse([p.relative_to(SCHEMAS).with_suffix("").as_posix() for p in sorted(SCHEMAS.rglob("*.xsd"))])

    async def schema(self, request: Request) -> Response:
        """Return a data type schema."""
        path = (SCHEMAS / f"{request.path_params['name']}.xsd").resolve()
        if not path.is_relative_to(SCHEMAS.resolve()) or not path.is_file():
            raise HTTPException(404, "Unknown schema.")
        return Response(path.read_bytes(), media_type="application/xml")

    async def searchable(self, request: Request) -> Response:
        """Return the data types a stored search may use: none, the sandbox has no search."""
        return table(request, ("ELEMENT_NAME", "SINGULAR", "PLURAL", "SECURED", "COUNT"), rows=[])

    async def me(self, request: Request) -> Response:
        """Return who asks."""
        return JSONResponse({"username": caller(request).name, "enabled": True})

    async def access(self, request: Request) -> Response:
        """Return the caller's role in each project."""
        user, guard = caller(request), self._site.guard
        roles = {p.ident: guard.role(user, p) for p in self._site.store.every("project")}
        return JSONResponse([{"project": p, "accessLevel": role} for p, role in roles.items() if role])

    async def anonymizes(self, _: Request) -> Response:
        """Say whether a script of the site is at work (AnonymizeApi)."""
        return JSONResponse(content=self._site.settings.has_script)

    async def script(self, request: Request) -> Response:
        """Return a project's script, or 204 where it has none (AnonymizeApi)."""
        if not self._has_script(request):
            return Response(status_code=204)
        return PlainTextResponse('version "6.1"\n// for practice; nothing is ever anonymised here\n')

    async def has_script(self, request: Request) -> Response:
        """Say whether a project's script is at work (AnonymizeApi)."""
        return JSONResponse(content=self._has_script(request))

    def _has_script(self, request: Request) -> bool:
        name = request.path_params["project"]
        self._site.demand(caller(request), "read", item=self._site.store.find("project", name))
        return any(project.id == name and project.has_script for project in self._site.settings.projects)
