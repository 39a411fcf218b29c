"""Automation without an engine: order, results, exit codes, plans, recovery and the workflow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation import cli, deployer_policies, plans, recovery, report, stacks, summary, teardown
from automation.runs import StackRun, Step, Violation, run_all
from components.naming import ENVIRONMENTS, Names

ROOT = Path(__file__).parents[2]
NAMES = Names("acme", "prod", "eu-west-1", "444444444444")


def run(stack: str = "dev", verb: Any = "preview", **fields: Any) -> StackRun:
    return StackRun(stack, verb, **fields)


STEP = Step("create", "urn:pulumi:dev::mlops::aws:s3/bucket:Bucket::logs", "aws:s3/bucket:Bucket")


def test_environments_go_side_by_side_and_the_hub_last() -> None:
    assert stacks.waves(ENVIRONMENTS) == [["dev", "preprod", "prod"], ["governance"]]
    assert stacks.waves(ENVIRONMENTS, reverse=True) == [["governance"], ["dev", "preprod", "prod"]]
    assert stacks.waves(["governance", "dev"]) == [["dev"], ["governance"]]


def test_an_unknown_stack_is_named_with_those_that_there_are() -> None:
    with pytest.raises(stacks.UnknownStackError, match=r"qa.*dev, preprod, prod, governance"):
        stacks.waves(["qa"])


def test_a_failure_stops_later_waves_and_lets_siblings_finish() -> None:
    started: list[str] = []

    def operate(name: str) -> StackRun:
        started.append(name)
        return run(name, "up", errors=["broken"] if name == "preprod" else [])

    done = run_all(stacks.waves(ENVIRONMENTS), operate, "up")
    assert sorted(started) == ["dev", "preprod", "prod"]
    assert {r.stack: bool(r.skipped) for r in done} == {
        "dev": False, "preprod": False, "prod": False, "governance": True,
    }  # fmt: skip
    assert "preprod failed" in done[-1].skipped


@pytest.mark.parametrize(
    ("verb", "runs", "code"),
    [
        ("preview", [run()], 0),
        ("preview", [run(), run(steps=[STEP])], 2),
        ("drift", [run(verb="drift", steps=[STEP])], 2),
        ("up", [run(verb="up", steps=[STEP])], 0),
        ("preview", [run(errors=["x"])], 1),
        ("preview", [run(violations=[Violation("p", True, "r", "m")])], 1),
        ("preview", [run(violations=[Violation("p", False, "r", "m")])], 0),
        ("up", [run(), run(skipped="dev failed")], 1),
    ],
)
def test_exit_codes(verb: Any, runs: list[StackRun], code: int) -> None:
    assert cli.exit_code(verb, runs) == code


def test_markdown_names_changes_violations_and_errors() -> None:
    broken = Violation("vpc-flow-logs", True, "network", "add a flow log")
    text = summary.markdown([run(steps=[STEP], violations=[broken], errors=["no such role"])])
    for part in ("1 create", "`aws:s3/bucket:Bucket` logs", "vpc-flow-logs", "no such role"):
        assert part in text


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Path, Path]:
    project = tmp_path / "project"
    (project / "components").mkdir(parents=True)
    (project / "policy").mkdir()
    (project / "requirements").mkdir()
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py", "requirements/platform.txt"):
        (project / name).write_text("a")
    (project / "components" / "x.py").write_text("x = 1")
    folder = tmp_path / "plans"
    folder.mkdir()
    plans.path(folder, "dev").write_text(json.dumps({"resourcePlans": {}}))
    plans.save(folder, [run(steps=[STEP])], project, {})
    return project, folder


def test_an_unchanged_plan_is_applied(planned: tuple[Path, Path]) -> None:
    project, folder = planned
    assert plans.approved(folder, "dev", project) == plans.path(folder, "dev")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("plans/dev.plan.json", "not the file that was previewed"),
        ("project/components/x.py", "not those that were previewed"),
        ("project/Pulumi.dev.yaml", "not those that were previewed"),
        ("project/requirements/platform.txt", "not those that were previewed"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    planned: tuple[Path, Path], file: str, told: str
) -> None:
    project, folder = planned
    (project.parent / file).write_text("changed")
    with pytest.raises(plans.PlanError, match=told):
        plans.approved(folder, "dev", project)


def test_a_stack_without_a_plan_is_refused(planned: tuple[Path, Path]) -> None:
    project, folder = planned
    with pytest.raises(plans.PlanError, match="no plan for prod"):
        plans.approved(folder, "prod", project)


@pytest.mark.parametrize(
    ("type_", "inputs", "id_"),
    [
        ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "b"}, "b"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "name": "n"}, "r:n"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r"}, None),
        ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"}, None),
    ],
)
def test_ids_follow_from_inputs_where_they_are_names(
    type_: str, inputs: dict[str, Any], id_: str | None
) -> None:
    assert recovery.import_id(type_, inputs) == id_


def test_the_deployer_can_never_change_itself_nor_make_unbounded_roles() -> None:
    statements = {s.sid: s.to_dict() for s in deployer_policies.deployer_statements(NAMES)}
    assert statements["NeverItself"]["Effect"] == "Deny"
    assert set(statements["NeverItself"]["Resource"]) >= {
        NAMES.role_arn("deployer"), NAMES.role_arn("preview"),
    }  # fmt: skip
    boundary = statements["BoundedRolesOnly"]["Condition"]["StringEquals"]
    assert boundary == {"iam:PermissionsBoundary": NAMES.policy_arn("boundary")}
    for statement in statements.values():
        assert "*" not in statement["Action"]
        assert all(not action.endswith(":*") for action in statement["Action"]), statement


def test_the_preview_role_only_reads() -> None:
    for statement in deployer_policies.preview_statements(NAMES):
        for action in statement.actions:
            assert isinstance(action, str)
            assert action.split(":")[1].startswith(("Get", "List", "Describe", "View", "Head"))


def test_policies_keep_within_iams_limits() -> None:
    for environment in ENVIRONMENTS:
        names = Names("p" * 10, environment, "ap-southeast-2", "444444444444")
        documents = list(deployer_policies.documents(deployer_policies.deployer_statements(names)))
        assert len(documents) <= 10
        for document in documents:
            assert len(json.dumps(document, separators=(",", ":"))) <= deployer_policies.LIMIT


def engine_plan(inputs: dict[str, Any], outputs: dict[str, Any], type_: str) -> dict[str, Any]:
    goal = {"type": type_, "inputDiff": {"adds": inputs}, "outputDiff": {"adds": outputs}}
    return {"resourcePlans": {"urn": {"goal": goal, "steps": ["create"]}, "gone": {"goal": None}}}


def reference(id_: str) -> dict[str, str]:
    return {
        "4dabf18193072939515e22adb298388d": "5cf8f73096256a8f31e491e813e4eb8e",
        "urn": "urn:x",
        "id": id_,
    }


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_a_plan_leaves_open_only_the_ids_of_what_is_not_made_yet() -> None:
    outputs = {"vpc": reference(""), "subnets": [reference(UNKNOWN), reference("subnet-1")]}
    inputs = {"vpc": reference(""), "name": "n"}
    plan = engine_plan(inputs, outputs, "awsx:ec2:Vpc")
    changed = plans.applicable(plan, {})
    goal = changed["resourcePlans"]["urn"]["goal"]
    assert goal["outputDiff"]["adds"] == {
        "vpc": UNKNOWN, "subnets": [UNKNOWN, reference("subnet-1")],
    }  # fmt: skip
    assert goal["inputDiff"]["adds"] == inputs
    assert plan == engine_plan(inputs, outputs, "awsx:ec2:Vpc")


def test_a_plan_is_applied_by_the_role_that_may_write_and_by_no_other() -> None:
    roles = {NAMES.role_arn("preview"): NAMES.role_arn("deployer")}
    held = {"assumeRoles": json.dumps([{"roleArn": NAMES.role_arn("preview")}])}
    plan = plans.applicable(engine_plan(held, {}, "pulumi:providers:aws"), roles)
    added = plan["resourcePlans"]["urn"]["goal"]["inputDiff"]["adds"]
    assert json.loads(added["assumeRoles"]) == [{"roleArn": NAMES.role_arn("deployer")}]
    policy = {"policy": json.dumps({"Principal": NAMES.role_arn("preview")})}
    untouched = engine_plan(policy, {}, "aws:iam/role:Role")
    assert plans.applicable(untouched, roles) == untouched


def workflow(name: str) -> Any:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def commands(job: Any) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


WRITING = ("automation up", "automation destroy", "automation refresh", "bootstrap")


@pytest.mark.parametrize(("name", "job"), [("platform", "preview"), ("stack", "plan")])
def test_what_shows_changes_can_write_nothing(name: str, job: str) -> None:
    held = workflow(name)["jobs"][job]
    assert held["env"]["AWS_ROLE_ARN"].endswith("-governance-ci-preview")
    assert "environment" not in held
    assert "--read-only" in commands(held)
    assert not [verb for verb in WRITING if verb in commands(held)]


def test_a_deployment_is_approved_and_applies_its_plan() -> None:
    jobs = workflow("stack")["jobs"]
    assert jobs["apply"]["environment"] == "${{ inputs.stack }}"
    assert jobs["apply"]["needs"] == "plan"
    assert "--save-plans plans" in commands(jobs["plan"])
    assert commands(jobs["apply"]).endswith('automation up --stack "$STACK" --plans plans')
    uploaded, downloaded = (
        step["with"]["name"]
        for job in ("plan", "apply")
        for step in jobs[job]["steps"]
        if "artifact" in step.get("uses", "")
    )
    assert uploaded == downloaded


def test_every_stack_is_deployed_the_hub_last() -> None:
    jobs = {k: v for k, v in workflow("platform")["jobs"].items() if k != "preview"}
    assert [job["with"]["stack"] for job in jobs.values()] == list(ENVIRONMENTS)
    before = [job.get("needs") for job in jobs.values()]
    assert before == [None, *ENVIRONMENTS[:-1]]
    assert jobs["dev"]["if"] == "github.event_name == 'push'"


def test_jobs_have_no_long_lived_keys_and_pinned_actions() -> None:
    for file in (ROOT / ".github").rglob("*.yml"):
        text = file.read_text()
        assert "AWS_SECRET_ACCESS_KEY" not in text
        assert "secrets." not in text
        for used in re.findall(r"uses: (\S+)", text):
            assert used.startswith("./") or re.search(r"@[0-9a-f]{40}$", used), used


def test_codebuild_plans_without_the_right_to_write() -> None:
    [command] = yaml.safe_load((ROOT / "buildspec.yml").read_text())["phases"]["build"]["commands"]
    for line in command.splitlines():
        assert ("automation preview" in line) == ("--read-only" in line)


def resource(name: str, type_: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {
        "urn": name, "type": type_, "custom": True, "id": name, "parent": "stack",
        "dependencies": list(needs), **fields,
    }  # fmt: skip


HELD = {
    "resources": [
        {"urn": "stack", "type": "pulumi:pulumi:Stack"},
        resource("key", "aws:kms/key:Key"),
        resource("other-key", "aws:kms/key:Key"),
        resource("endpoint", "aws:ec2/vpcEndpoint:VpcEndpoint"),
        resource("data", "aws:s3/bucket:Bucket"),
        resource("policy", "aws:s3/bucketPolicy:BucketPolicy", "data", "endpoint",
                 inputs={"bucket": "data"}),
        resource("sse", "aws:s3/bucketServerSideEncryptionConfiguration:X", "data", "key",
                 inputs={"bucket": "data"}),
        resource("role", "aws:iam/role:Role", "data"),
        resource("logs", "aws:s3/bucket:Bucket", "other-key", protect=True),
        resource("logs-policy", "aws:s3/bucketPolicy:BucketPolicy", "logs",
                 inputs={"bucket": "logs"}),
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("protected_too", "staying", "deleted"),
    [
        (True, (), ["logs-policy", "logs", "role", "sse", "policy", "data", "endpoint",
                    "other-key", "key"]),
        (False, (), ["role", "sse", "policy", "data", "endpoint", "key"]),
        (True, ("data",), ["logs-policy", "logs", "role", "other-key"]),
        (False, ("data",), ["role"]),
    ],
)  # fmt: skip
def test_what_stays_keeps_what_guards_it_and_what_it_needs(
    protected_too: bool, staying: tuple[str, ...], deleted: list[str]
) -> None:
    found = teardown.to_delete(HELD, include_protected=protected_too, staying=staying)
    assert [resource["urn"] for resource in found] == deleted


def test_the_page_escapes_and_shows_grants_to_other_accounts() -> None:
    policy = {
        "Statement": [
            {
                "Sid": "AllowCrossAccount",
                "Effect": "Allow",
                "Principal": {"AWS": ["arn:aws:iam::444444444444:root"]},
                "Action": ["s3:GetObject"],
                "Condition": {
                    "ArnEquals": {"aws:PrincipalArn": ["arn:aws:iam::444444444444:role/<reader>"]}
                },
            }
        ]
    }
    deployment = {
        "resources": [
            {
                "urn": "u",
                "type": "aws:s3/bucketPolicy:BucketPolicy",
                "inputs": {"bucket": "models", "policy": json.dumps(policy)},
            }
        ]
    }
    page = report.page({"governance": deployment}, {"governance": "111111111111"}, [run()])
    assert "role/&lt;reader&gt;" in page
    assert "<reader>" not in page
    assert "AllowCrossAccount" in page
