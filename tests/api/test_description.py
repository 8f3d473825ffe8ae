"""The description is valid OpenAPI 3.1, and its examples are valid by its own schemas."""

import pytest
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.needs("ninja")


@pytest.fixture
def description(anonymous):
    return anonymous.get("openapi.json").json()


def list_operations(description):
    return [
        (f"{method} {path}", operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def list_contents(operation):
    if "requestBody" in operation:
        yield from operation["requestBody"]["content"].values()
    for status, response in operation["responses"].items():
        yield from response.get("content", {}).values()
        assert response["description"], status


def test_every_operation_is_described(description):
    assert description["openapi"] == "3.1.0"
    operations = list_operations(description)
    assert len(operations) > 35
    assert len({operation["operationId"] for _name, operation in operations}) == len(operations)
    for name, operation in operations:
        assert operation["summary"], name
        assert operation["description"], name


def test_every_request_answer_and_parameter_has_a_valid_example(description):
    for name, operation in list_operations(description):
        for content in list_contents(operation):
            schema = {**content["schema"], "components": description["components"]}
            faults = list(Draft202012Validator(schema).iter_errors(content["example"]))
            assert faults == [], name
        for parameter in operation["parameters"]:
            schema = {**parameter["schema"], "components": description["components"]}
            assert "example" in parameter, f"{name} {parameter['name']}"
            assert Draft202012Validator(schema).is_valid(parameter["example"]), f"{name} {parameter['name']}"


def test_every_operation_but_those_for_load_balancers_names_its_security_and_scope(description):
    open_to_all = {name for name, operation in list_operations(description) if not operation.get("security")}
    assert open_to_all == {"get /api/health/live", "get /api/health/ready"}
    sending = description["paths"]["/api/notifications"]["post"]
    assert sending["security"] == [{"KeyAuth": ["notifications:send"]}, {"SessionAuth": ["notifications:send"]}]
    assert "`klaxon.send_notification`" in sending["description"]
