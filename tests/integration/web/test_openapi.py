"""The JSON keeps its description: whatever schemathesis asks, nothing fails and no answer is undescribed."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as described_by

from tests.integration.webworld import Browser, page

_PAGES = ("home", "sessions", "sessions/{number}", "captures/{number}", "review", "review/{number}", "queue", "pools")
_RULES = ("projects", "projects/{name}", "projects/{name}/compare", "projects/{name}/rehearsal")
PLACES = {f"/api/{name}" for name in (*_PAGES, *_RULES, "alerts", "settings", "audit", "tokens")}
_CHECKS = [
    not_a_server_error,
    described_by.status_code_conformance,
    described_by.content_type_conformance,
    described_by.response_schema_conformance,
]


@pytest.fixture(scope="module")
def boss(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as (server, _), Browser(server) as browser:
        assert browser.sign_in("boss").status_code == 303
        yield browser


def test_nothing_fails_and_nothing_is_undescribed(boss):
    described = schemathesis.openapi.from_dict(boss.get("/api/openapi.json").json())
    asked, place = set(), str(boss.base_url).rstrip("/")
    for found in described.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(case):
            case.call_and_validate(base_url=place, cookies=dict(boss.cookies), checks=_CHECKS)

        ask()
        asked.add(operation.path)
    assert asked == PLACES


def test_every_page_has_its_twin(boss):
    assert set(boss.get("/api/openapi.json").json()["paths"]) == PLACES
