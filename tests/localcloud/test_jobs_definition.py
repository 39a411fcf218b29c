"""What pipeline definitions say, without running them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.emulator.jobs import definition
from localcloud.emulator.jobs.definition import DefinitionError, Resolver


def nothing(*_: Any) -> Any:
    raise AssertionError("not asked for")


def resolver(results: Any = None, parameters: Any = None, **more: Any) -> Resolver:
    readers = {"property_file": nothing, "read": nothing, **more}
    return Resolver(parameters or {}, {"PipelineExecutionId": "id"}, results or {}, **readers)


def fail(name: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "x"}, **more}


def condition(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    holds = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    arguments = {"Conditions": [holds], "IfSteps": steps[:1], "ElseSteps": steps[1:]}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def parse(*steps: dict[str, Any], parameters: Any = ()) -> definition.Definition:
    return definition.parse(json.dumps({"Steps": steps, "Parameters": list(parameters)}))


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ([{"Name": "A", "Type": "EMR"}], "runs no EMR steps"),
        ([fail("A"), fail("A")], "Two steps are called A"),
        ([fail("A", DependsOn=["B"])], "needs B, which is no step"),
        ([fail("A", DependsOn=["B"]), fail("B", DependsOn=["A"])], "A, B wait for each other"),
        ([fail("A", Arguments={"ErrorMessage": {"Get": "Parameters.P"}})], "parameter P"),
        ([fail("A", Arguments={"ErrorMessage": {"Get": "Steps.C.X"}})], "needs C"),
        ([fail("A", Arguments={"ErrorMessage": {"Get": "Nowhere.P"}})], "which is nothing"),
        (
            [{"Name": "T", "Type": "Training", "Arguments": {"Rolearn": "x"}}],
            "CreateTrainingJob has no Rolearn",
        ),
        ([{"Name": "A"}], "no Name or no Type"),
        ([condition("A", condition("B"))], "B is a condition within A"),
        ([condition("A", fail("B"), condition("C"))], "C is a condition within A"),
        ([condition("A"), fail("B", DependsOn=["A"])], "B needs A, which is a condition"),
        (
            [condition("A"), fail("B", Arguments={"ErrorMessage": {"Get": "Steps.A.Outcome"}})],
            "B needs A, which is a condition",
        ),
        (
            [
                fail("A"),
                fail(
                    "B",
                    Arguments={
                        "ErrorMessage": {
                            "Std:Join": {
                                "On": "",
                                "Values": [
                                    {
                                        "Std:JsonGet": {
                                            "PropertyFile": {"Get": "Steps.A.PropertyFiles.F"},
                                            "Path": "x",
                                        }
                                    }
                                ],
                            }
                        }
                    },
                ),
            ],
            "B: ErrorMessage takes no Std:JsonGet",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(steps: list[Any], cause: str) -> None:
    with pytest.raises(DefinitionError, match=cause):
        parse(*steps)


def test_text_that_is_no_definition_is_refused() -> None:
    for text in ("{", "[]", '{"Steps": 1}'):
        with pytest.raises(DefinitionError, match="pipeline definition"):
            definition.parse(text)


def test_steps_wait_for_what_they_refer_to_and_branches_for_their_condition() -> None:
    refers = fail("B", Arguments={"ErrorMessage": {"Std:Join": {"On": "", "Values": [
        {"Get": "Steps.A.Outputs['x'].S3Output"}, {"Get": "Steps.C[0]"}]}}})  # fmt: skip
    decides = {
        "Name": "If",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Steps.A.n"}, "RightValue": 1}],
            "IfSteps": [refers],
            "ElseSteps": [fail("D")],
        },
    }
    steps = parse(fail("A"), fail("C"), decides).steps
    assert steps["B"].needs == {"A", "C"}
    assert steps["B"].branch == ("If", True)
    assert steps["D"].branch == ("If", False)
    assert steps["If"].needs == {"A"}


PARAMETERS = [
    {"Name": "Text", "Type": "String", "EnumValues": ["a", "b"], "DefaultValue": "a"},
    {"Name": "Count", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Limit", "Type": "Float"},
    {"Name": "Switch", "Type": "Boolean", "DefaultValue": True},
]


def test_parameters_have_types_defaults_and_choices() -> None:
    parsed = parse(parameters=PARAMETERS)
    values = parsed.values(
        [{"Name": "Limit", "Value": "2.5"}, {"Name": "Switch", "Value": "False"}]
    )
    assert values == {"Text": "a", "Count": 3, "Limit": 2.5, "Switch": False}


@pytest.mark.parametrize(
    ("given_values", "cause"),
    [
        ({}, "Limit has no default"),
        ({"Limit": "x"}, "Limit is a Float, and 'x' is none"),
        ({"Limit": "1", "Count": "1.5"}, "Count is a Integer"),
        ({"Limit": "1", "Switch": "maybe"}, "Switch is a Boolean"),
        ({"Limit": "1", "Text": "c"}, "Text is one of a, b, not c"),
        ({"Limit": "1", "Other": "c"}, "Unknown parameters: Other"),
    ],
)
def test_wrong_parameter_values_are_refused(given_values: dict[str, str], cause: str) -> None:
    said = [{"Name": name, "Value": value} for name, value in given_values.items()]
    with pytest.raises(DefinitionError, match=cause):
        parse(parameters=PARAMETERS).values(said)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text().filter(lambda k: k != "Get" and "Std:" not in k), inner, max_size=3
        )
    ),
)


@given(plain)
def test_what_refers_to_nothing_stays_as_it_is(value: Any) -> None:
    assert resolver().resolve(value) == value
    assert list(definition.references(value)) == []


@given(st.lists(st.text(alphabet="abc/", max_size=4), max_size=4), st.text(max_size=2))
def test_joined_is_what_python_joins(parts: list[str], on: str) -> None:
    values = [{"Get": f"Parameters.P{n}"} for n in range(len(parts))]
    parameters = {f"P{n}": part for n, part in enumerate(parts)}
    joined = resolver(parameters=parameters).resolve({"Std:Join": {"On": on, "Values": values}})
    assert joined == on.join(parts)


def test_properties_are_found_by_name_and_place() -> None:
    results = {
        "Pre": {
            "ProcessingOutputConfig": {
                "Outputs": [
                    {"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}},
                    {"OutputName": "test", "S3Output": {"S3Uri": "s3://b/test"}},
                ]
            }
        }
    }
    get = resolver(results).resolve
    path = "Steps.Pre.ProcessingOutputConfig.Outputs"
    assert get({"Get": f"{path}['test'].S3Output.S3Uri"}) == "s3://b/test"
    assert get({"Get": f"{path}[0].S3Output.S3Uri"}) == "s3://b/train"
    for wrong in (f"{path}['none'].S3Output", f"{path}[2]", "Steps.Pre.Nothing", "Steps.No.X"):
        with pytest.raises(DefinitionError):
            get({"Get": wrong})


def test_json_is_read_from_property_files() -> None:
    files = {("Eval", "Report"): {"metrics": [{"mse": {"value": 4.5}}]}}
    get = resolver(property_file=lambda step, name: files[step, name]).resolve
    asked = {"PropertyFile": {"Get": "Steps.Eval.PropertyFiles.Report"}}
    assert get({"Std:JsonGet": {**asked, "Path": "metrics[0].mse.value"}}) == 4.5
    with pytest.raises(DefinitionError, match="no rmse"):
        get({"Std:JsonGet": {**asked, "Path": "metrics[0].rmse"}})


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_conditions_are_those_of_python(left: int, right: int) -> None:
    sides = {"LeftValue": left, "RightValue": right}
    holds = resolver().holds
    assert holds({"Type": "LessThan", **sides}) == (left < right)
    assert holds({"Type": "LessThanOrEqualTo", **sides}) == (left <= right)
    assert holds({"Type": "GreaterThan", **sides}) == (left > right)
    assert holds({"Type": "GreaterThanOrEqualTo", **sides}) == (left >= right)
    assert holds({"Type": "Equals", **sides}) == (left == right)
    assert holds({"Type": "Not", "Expression": {"Type": "Equals", **sides}}) == (left != right)
    either = [{"Type": "Equals", **sides}, {"Type": "LessThan", **sides}]
    assert holds({"Type": "Or", "Conditions": either}) == (left <= right)
    assert holds({"Type": "In", "QueryValue": left, "Values": [right]}) == (left == right)


def test_values_that_cannot_be_compared_are_an_error() -> None:
    with pytest.raises(DefinitionError, match="cannot be compared"):
        resolver().holds({"Type": "LessThan", "LeftValue": "a", "RightValue": 1})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("P30D", 2_592_000), ("PT1H", 3600), ("P1DT1M30S", 86_490), ("P2W", 1_209_600)],
)
def test_durations(text: str, seconds: float) -> None:
    assert definition.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "30D", "P30", "PT", "1 day"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DefinitionError, match="no ISO 8601 duration"):
        definition.seconds(text)


def test_arguments_get_the_types_of_the_call() -> None:
    made = definition.call_input(
        "Training",
        {
            "HyperParameters": {"num_round": 5, "eta": 0.5},
            "ResourceConfig": {"InstanceCount": "2"},
            "EnableNetworkIsolation": "true",
            "MlflowConfig": None,
        },
    )
    assert made == {
        "HyperParameters": {"num_round": "5", "eta": "0.5"},
        "ResourceConfig": {"InstanceCount": 2},
        "EnableNetworkIsolation": True,
    }
