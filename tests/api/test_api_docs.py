"""The OpenAPI document is what somebody who never saw the code has to go by."""

from typing import Any

from tests.make import Office


async def operations(office: Office) -> dict[str, dict[str, Any]]:
    answer = await office.client.get("/docs/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")
    return {
        f"{method.upper()} {path}": operation
        for path, methods in answer.json()["paths"].items()
        for method, operation in methods.items()
    }


def headers_needed(operation: dict[str, Any]) -> set[str]:
    return {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header" and one["required"]}


async def test_every_operation_says_what_it_does_and_how_it_refuses(sqlite_office: Office) -> None:
    told = await operations(sqlite_office)
    assert len(told) > 150
    assert not [name for name, operation in told.items() if not operation.get("description")]
    for name, operation in told.items():
        refusal = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert (name, refusal) == (name, {"$ref": "#/components/schemas/ProblemDetails"})
        assert "400" not in operation["responses"], name


TUS = "PATCH /uploads/{upload_id}"
"""Goes by Upload-Offset, and answers for itself if that is missing (tus 1.0)."""


async def test_what_creates_and_what_edits_names_the_header_it_needs(sqlite_office: Office) -> None:
    told = await operations(sqlite_office)
    assert headers_needed(told["POST /plans"]) == {"Idempotency-Key"}
    assert headers_needed(told["PATCH /people/{person_id}"]) == {"If-Match"}
    for name, operation in told.items():
        if name.startswith("PATCH ") and name != TUS:
            assert headers_needed(operation) == {"If-Match"}, name


async def test_what_is_answered_has_a_shape(sqlite_office: Office) -> None:
    told = await operations(sqlite_office)
    shapeless = {
        name
        for name, operation in told.items()
        for answer in operation["responses"].values()
        if answer.get("content", {}).get("application/json", {}).get("schema") == {"type": "string"}
    }
    assert all(name.startswith("POST /sync/v1/") for name in shapeless), "whose messages have a page of their own"


async def test_the_page_opens_without_internet(sqlite_office: Office) -> None:
    page = (await sqlite_office.client.get("/docs")).text
    assert "https://" not in page.partition("const ")[0]
    assert (await sqlite_office.client.get("/docs/files/swagger-ui-bundle.js")).status_code == 200
