"""The OpenAPI document and the page to read and try it, both without a CDN."""

from pathlib import Path
from typing import Any, Final

import swagger_ui  # pyright: ignore[reportMissingTypeStubs] - used for its folder of static files only
from litestar import Request, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]
from msgspec.json import schema_components

from backend.core.auth import public
from backend.core.errors import ProblemDetails
from backend.core.problems import MEDIA_TYPE

PROBLEM: Final[dict[str, Any]] = {
    "description": "Refused; what is wrong and what to do about it. Every code is in docs/reference/errors.md.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
}
NEEDED: Final = frozenset({"Idempotency-Key", "If-Match"})
"""Headers whose absence has an answer of its own; the framework would answer it as it answers a wrong type."""
SCHEMA_PLACE: Final = "#/components/schemas/{name}"


def api_docs() -> OpenAPIConfig:
    """Return what the framework needs to serve the document and its page below /docs."""
    return OpenAPIConfig(
        title="Paigong 派工",
        version="0.1.0",
        description="Field service that keeps its 48-hour promise.",
        path="/docs",
        use_handler_docstrings=True,
        render_plugins=[
            _Page(
                path="/", js_url="/docs/files/swagger-ui-bundle.js", css_url="/docs/files/swagger-ui.css",
                standalone_preset_js_url="/docs/files/swagger-ui-standalone-preset.js",
                favicon='<link rel="icon" href="/docs/files/favicon-32x32.png">',
            ),
            _Document(),
        ],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
    )  # fmt: skip


def api_docs_files() -> Router:
    """Serve the page's own files, so that it opens without internet."""
    folder = Path(swagger_ui.__file__).parent / "static"
    return create_static_files_router("/docs/files", directories=[folder], guards=[public], include_in_schema=False)


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _telling_problems(openapi_schema))  # pyright: ignore[reportUnknownMemberType]


class _Page(SwaggerRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _telling_problems(openapi_schema))  # pyright: ignore[reportUnknownMemberType]


def _telling_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Say of every operation how it refuses and what it needs; the framework would tell of errors in its own shape."""
    schemas = document["components"]["schemas"]
    if ProblemDetails.__name__ not in schemas:
        schemas |= schema_components([ProblemDetails], ref_template=SCHEMA_PLACE)[1]
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("400", None)
                operation["responses"]["default"] = PROBLEM
                for parameter in operation.get("parameters", ()):
                    parameter["required"] |= parameter["name"] in NEEDED
    return document
