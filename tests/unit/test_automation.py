"""Automation without an engine: order, results, exit codes, plans, recovery and the workflow."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pulumi.automation import OutputValue

from automation import (
    cli,
    deployer_policies,
    plans,
    policies,
    recovery,
    report,
    stacks,
    summary,
    teardown,
)
from automation.runs import StackRun, Step, Violation, run_all
from components import iam
from components.naming import ENVIRONMENTS, Names
from components.settings import PlatformSettings, SettingsError, parse
from localcloud.authorization import Evaluator, Policies, Request

ROOT = Path(__file__).parents[2]
NAMES = Names("acme", "prod", "eu-west-1", "444444444444")


def run(stack: str = "dev", verb: Any = "preview", **fields: Any) -> StackRun:
    return StackRun(stack, verb, **fields)


STEP = Step("create", "urn:pulumi:dev::mlops::aws:s3/bucket:Bucket::logs", "aws:s3/bucket:Bucket")


def test_environments_go_side_by_side_and_the_hub_last() -> None:
    assert stacks.waves(ENVIRONMENTS) == [["dev", "preprod", "prod"], ["governance"]]
    assert stacks.waves(ENVIRONMENTS, reverse=True) == [["governance"], ["dev", "preprod", "prod"]]
    assert stacks.waves(["governance", "dev"]) == [["dev"], ["governance"]]


def test_stacks_side_by_side_keep_their_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's folder is made by whichever comes first, and goes when nothing refers to it."""
    stacks._work.cache_clear()
    made = stacks.tempfile.TemporaryDirectory

    def slowly(prefix: str) -> Any:
        time.sleep(0.05)
        return made(prefix=prefix)

    monkeypatch.setattr(stacks.tempfile, "TemporaryDirectory", slowly)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: stacks.work_folder(), range(4)))
    assert len({folder.parent for folder in folders}) == 1
    assert all(folder.is_dir() for folder in folders)


def test_siblings_of_a_wave_are_at_work_at_the_same_time() -> None:
    """Each waits until all three are there: one after the other, none would ever end."""
    together = threading.Barrier(3)

    def operate(name: str) -> StackRun:
        if name != "governance":
            together.wait(timeout=60)
        return run(name, "up")

    done = run_all(stacks.waves(ENVIRONMENTS), operate, "up")
    assert [r.stack for r in done] == ["dev", "preprod", "prod", "governance"]
    assert all(r.ok for r in done)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """The lines that a terminal shows: ``CSI n F`` goes up, ``CSI 2 K`` clears the line."""
    lines, row = [""], 0
    for count, clears, newline, text in re.findall(
        r"\x1b\[(\d+)F|(\x1b\[2K)|(\n)|([^\x1b\n]+)", written
    ):
        if count:
            row -= int(count)
        elif clears:
            lines[row] = ""
        elif newline:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] += text
    return lines


def told(stream: io.StringIO) -> str:
    """What is written of two stacks: dev is previewed and updated, prod is at its first step."""
    show = summary.ProgressLines(["dev", "prod"], stream)
    previewed, dev, prod = run(), run(verb="up", steps=[STEP], seconds=7), run("prod", "up")
    show(previewed, "start")
    for number in range(60):
        show(previewed, f"create bucket-{number}")
    show(dev, "start")
    show(prod, "start")
    show(prod, "create key")
    show(dev, "create logs")
    show(dev, "end")
    return stream.getvalue()


def test_progress_on_a_terminal_rewrites_one_line_a_stack() -> None:
    assert screen(told(Terminal())) == [
        "dev         done in 7 s, 1 create",
        "prod        up 1  create key",
        "",
    ]


def test_progress_elsewhere_is_plain_lines_and_few_of_them() -> None:
    assert told(io.StringIO()).splitlines() == [
        "dev: preview …",
        "dev: preview 50  create bucket-49",
        "dev: up …",
        "prod: up …",
        "dev: done in 7 s, 1 create",
    ]


def test_outputs_are_json_of_every_stack_without_what_is_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = {
        "dev": {"vpc_id": OutputValue("vpc-1", False), "token": OutputValue("hidden", True)},
        "prod": {"subnets": OutputValue(["a", "b"], False)},
    }
    monkeypatch.setattr(
        stacks, "open_stack",
        lambda name, **_: SimpleNamespace(outputs=lambda: held[name]),
    )  # fmt: skip
    assert cli.main(["outputs", "--stack", "dev", "--stack", "prod"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dev": {"vpc_id": "vpc-1"},
        "prod": {"subnets": ["a", "b"]},
    }


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
    text = summary.markdown(
        [run(steps=[STEP], violations=[broken], errors=["no such role"], note="run the bootstrap")]
    )
    assert "- **dev**: run the bootstrap" in text
    for part in ("1 create", "`aws:s3/bucket:Bucket` logs", "vpc-flow-logs", "no such role"):
        assert part in text


PLANNED = (
    "Pulumi.yaml",
    "Pulumi.dev.yaml",
    "__main__.py",
    "requirements/platform.txt",
    "policy/config.schema.json",
    "automation/policies.py",
    "components/x.py",
    "functions/x.py",
    "seed_code/templates.yaml",
)


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Path, Path]:
    project = tmp_path / "project"
    for name in PLANNED:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("a")
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
        *((f"project/{name}", "not those that were previewed") for name in PLANNED),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    planned: tuple[Path, Path], file: str, told: str
) -> None:
    project, folder = planned
    (project.parent / file).write_text("changed")
    with pytest.raises(plans.PlanError, match=told):
        plans.approved(folder, "dev", project)


def test_what_runs_leave_does_not_matter(planned: tuple[Path, Path]) -> None:
    project, folder = planned
    (project / "components" / "__pycache__").mkdir()
    (project / "components" / "__pycache__" / "x.pyc").write_text("compiled")
    assert plans.approved(folder, "dev", project)


def test_a_stack_without_a_plan_is_refused(planned: tuple[Path, Path]) -> None:
    project, folder = planned
    with pytest.raises(plans.PlanError, match="no plan for prod"):
        plans.approved(folder, "prod", project)


def of_stack(environment: str = "dev", **changes: Any) -> PlatformSettings:
    accounts = {env: str(index) * 12 for index, env in enumerate(ENVIRONMENTS, start=1)}
    values = {
        "region": "eu-west-1",
        "organization": {"accounts": accounts},
        "tags": {"owner": "team", "cost_centre": "ml"},
    }
    return parse(environment, {**values, **changes})


def test_the_packs_configuration_follows_from_the_settings() -> None:
    personas = {"lead_data_scientist": ["ml.t3.medium", "ml.p4d.24xlarge"]}
    dev = of_stack(region="eu-south-1", studio={"instance_types": personas})
    made = policies.configuration([dev])
    assert made["allowed-regions"] == {"regions": ["eu-south-1"]}
    assert made["instance-types"] == {
        "types": ["ml.m5.large", "ml.m5.xlarge", "ml.p4d.24xlarge", "ml.t3.medium", "system"]
    }
    both = policies.configuration([dev, of_stack("governance")], ["ml.c5.large"])
    assert both["allowed-regions"] == {"regions": ["eu-south-1", "eu-west-1"]}
    assert "ml.c5.large" in both["instance-types"]["types"]


def test_what_settings_say_of_a_rule_comes_beside_what_the_platform_says() -> None:
    rule, inboxes = "data-buckets-vpc-only", {"inboxes": ["*-jobs-*/input/*"]}
    assert policies.configuration([of_stack()])[rule] == inboxes
    more = of_stack(policies={rule: {"exempt": ["scratch-*"]}})
    assert policies.configuration([more])[rule] == {**inboxes, "exempt": ["scratch-*"]}
    level = of_stack(policies={rule: "advisory"})
    assert policies.configuration([level])[rule] == {**inboxes, "enforcementLevel": "advisory"}


def test_what_is_said_of_a_rule_goes_over_what_follows() -> None:
    said = {
        "allowed-regions": {"exempt": ["replica-*"]},
        "instance-types": {"types": ["ml.*"], "enforcementLevel": "advisory"},
        "required-tags": "disabled",
    }
    made = policies.configuration([of_stack(policies={"key-rotation": "disabled"})])
    assert made["key-rotation"] == {"enforcementLevel": "disabled"}
    made = policies.configuration([of_stack(), of_stack("governance", policies=said)])
    assert made == {
        "allowed-regions": {"regions": ["eu-west-1"], "exempt": ["replica-*"]},
        "instance-types": {"types": ["ml.*"], "enforcementLevel": "advisory"},
        "required-tags": {"enforcementLevel": "disabled"},
        "data-buckets-vpc-only": {"inboxes": ["*-jobs-*/input/*"]},
    }


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"allowed-region": "advisory"}, "allowed-region"),
        ({"allowed-regions": "off"}, r"mlops:policies.allowed-regions: 'off' is not one of"),
        ({"instance-types": {"typs": []}}, r"mlops:policies.instance-types: .*'typs'"),
        ({"log-retention": {"minimum_days": "a"}}, r"log-retention.minimum_days: 'a' is not"),
    ],
)
def test_what_the_pack_cannot_be_told_is_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        policies.check(of_stack(policies=said))


def test_every_name_in_the_derived_configuration_is_one_of_the_packs() -> None:
    made = policies.configuration([of_stack()])
    policies.check(of_stack(policies=made))


def test_the_command_prints_what_the_engine_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policies", "--stack", "dev"]) == cli.CLEAN
    assert json.loads(capsys.readouterr().out)["allowed-regions"] == {"regions": ["eu-west-1"]}


@pytest.mark.parametrize(
    ("type_", "inputs", "id_"),
    [
        ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "b"}, "b"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "name": "n"}, "r:n"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r"}, None),
        ("aws:iam/role:Role", {"name": {"ciphertext": "c"}}, None),
        ("aws:iam/policy:Policy", {"name": "n"}, "arn:aws-cn:iam::1:policy/n"),
        ("aws:iam/policy:Policy", {"name": "n", "path": "/p/"}, "arn:aws-cn:iam::1:policy/p/n"),
        (
            "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
            {"url": "https://example.com"},
            "arn:aws-cn:iam::1:oidc-provider/example.com",
        ),
        ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"}, None),
    ],
)
def test_ids_follow_from_inputs_where_they_are_names(
    type_: str, inputs: dict[str, Any], id_: str | None
) -> None:
    place = {"account": "1", "region": "cn-north-1", "partition": "aws-cn"}
    assert recovery.import_id(type_, inputs, place) == id_


def test_the_deployer_can_never_change_itself_nor_make_unbounded_roles() -> None:
    statements = {s.sid: s.to_dict() for s in deployer_policies.deployer_statements(NAMES)}
    assert statements["NeverItself"]["Effect"] == "Deny"
    assert set(statements["NeverItself"]["Resource"]) >= {
        NAMES.role_arn("deployer"), NAMES.role_arn("preview"), NAMES.policy_arn("boundary"),
    }  # fmt: skip
    boundary = statements["BoundedRolesOnly"]["Condition"]["StringEquals"]
    assert boundary == {"iam:PermissionsBoundary": NAMES.policy_arn("boundary")}
    for statement in statements.values():
        assert "*" not in statement["Action"]
        assert all(not action.endswith(":*") for action in statement["Action"]), statement


@pytest.mark.parametrize(
    ("action", "keys", "allowed"),
    [
        ("CreateResourceShare", {"RequestedAllowsExternalPrincipals": "false"}, True),
        ("CreateResourceShare", {"RequestedAllowsExternalPrincipals": "true"}, False),
        ("UpdateResourceShare", {"AllowsExternalPrincipals": "false"}, True),
        (
            "UpdateResourceShare",
            {"AllowsExternalPrincipals": "false", "RequestedAllowsExternalPrincipals": "true"},
            False,
        ),
        ("AssociateResourceShare", {"RequestedResourceType": "sagemaker:ModelPackageGroup"}, True),
        ("AssociateResourceShare", {"RequestedResourceType": "ec2:Subnet"}, False),
        ("AssociateResourceShare", {"AllowsExternalPrincipals": "true"}, False),
        ("EnableSharingWithAwsOrganization", {}, False),
    ],
)
def test_the_hubs_deployer_shares_groups_within_the_organisation_only(
    action: str, keys: dict[str, str], allowed: bool, evaluator: Evaluator
) -> None:
    names = Names("acme", "governance", "eu-west-1", "1" * 12)
    identity = iam.document(deployer_policies.deployer_statements(names))
    alone = action.startswith(("Create", "Enable"))
    decision = evaluator.evaluate(
        Request(
            "arn:aws:sts::111111111111:assumed-role/acme-governance-deployer/x",
            f"ram:{action}",
            "*" if alone else names.arn("ram", "resource-share/1"),
            names.account_id,
            {f"ram:{key}": value for key, value in keys.items()},
        ),
        Policies(identity={"deployer": identity}),
    )
    assert decision.allowed is allowed


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


def test_tests_run_without_credentials() -> None:
    tests = workflow("tests")
    assert tests["permissions"] == {"contents": "read"}
    assert "permissions" not in tests["jobs"]["test"]
    assert "sign-in" not in yaml.safe_dump(tests)


TELLS_SECRETS = re.compile(
    r"""(^|[;&|"']\s*|\brun:\s*|-\s)(printenv|env|export\s+-p|declare\s+-x)\s*($|[|;&>"'])"""
    r"""|\bset\s+-[a-z]*x|\bbash\s+-x|echo[^>\n]*\$\{?(AWS_|\w*(TOKEN|SECRET|PASSPHRASE|PASSWORD))""",
    re.MULTILINE,
)
"""Commands that write all variables, or one with credentials, into a log."""


@pytest.mark.parametrize(
    "command",
    ["env", "  - printenv | sort", "run: env", "set -x", "set -eux", "bash -x run.sh",
     "echo $AWS_SECRET_ACCESS_KEY", 'echo "token: ${GIT_TOKEN}"'],
)  # fmt: skip
def test_what_tells_secrets_is_recognised(command: str) -> None:
    assert TELLS_SECRETS.search(command)


def test_no_build_and_no_workflow_writes_credentials_into_its_log() -> None:
    files = [
        *(ROOT / ".github").rglob("*.yml"),
        ROOT / "buildspec.yml",
        *(
            path
            for pattern in ("buildspec*", "*.yml*", "Makefile*", "*.mk")
            for path in (ROOT / "seed_code").rglob(pattern)
        ),
    ]
    assert len(files) > 10
    told = {
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in files
        if (found := TELLS_SECRETS.search(path.read_text()))
    }
    assert not told


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


def bucket_policy(*principals: str, effect: str = "Allow") -> dict[str, Any]:
    statement = {"Effect": effect, "Principal": {"AWS": list(principals)}, "Action": "s3:GetObject"}
    policy = json.dumps({"Statement": [statement]})
    return {"type": "aws:s3/bucketPolicy:BucketPolicy", "inputs": {"bucket": "b", "policy": policy}}


APART = {"dev": "2" * 12, "preprod": "3" * 12, "prod": "4" * 12, "governance": "1" * 12}


def share(*principals: str) -> list[dict[str, Any]]:
    arn, group = (
        f"arn:aws:{rest}"
        for rest in (
            "ram:eu-west-1:111111111111:resource-share/1",
            "sagemaker:eu-west-1:111111111111:model-package-group/acme-governance-houses",
        )
    )
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("resourceShare:ResourceShare", {"arn": arn, "permissionArns": ["arn:x:permission/Read"]}),
        ("resourceAssociation:ResourceAssociation", {"resourceArn": group}),
        *(("principalAssociation:PrincipalAssociation", {"principal": p}) for p in principals),
    ]
    return [
        {"type": f"aws:ram/{kind}", "inputs": {"resourceShareArn": arn, **inputs}}
        for kind, inputs in kinds
    ]


def test_what_ram_shares_is_a_grant_to_other_accounts() -> None:
    hub = {"resources": share("3" * 12, "4" * 12)}
    assert report.across_accounts(hub, "1" * 12) == [
        (
            "acme-governance-houses",
            ["arn:aws:iam::333333333333:root", "arn:aws:iam::444444444444:root"],
            ["Read"],
            "AWS RAM",
        )
    ]


@pytest.mark.parametrize(
    ("accounts", "policies_", "reading"),
    [
        (APART, [], []),
        (APART, share("3" * 12, "4" * 12), ["preprod", "prod"]),
        (APART, [bucket_policy("arn:aws:iam::444444444444:root")], ["prod"]),
        (APART, [bucket_policy("arn:aws:iam::444444444444:root", effect="Deny")], []),
        (
            APART,
            [
                bucket_policy("arn:aws:iam::333333333333:role/acme-preprod-model-execution"),
                bucket_policy("arn:aws:iam::222222222222:role/x"),
                bucket_policy("arn:aws:iam::999999999999:root"),
            ],
            ["dev", "preprod"],
        ),
        # One account for all: the roles' names tell them apart, the account itself is the hub.
        (
            dict.fromkeys(APART, "1" * 12),
            [
                bucket_policy("arn:aws:iam::111111111111:root"),
                bucket_policy("arn:aws:iam::111111111111:role/acme-prod-model-execution"),
            ],
            ["prod"],
        ),
        # Two targets in one account, which is granted as a whole.
        (
            {**APART, "prod": "3" * 12},
            [bucket_policy("arn:aws:iam::333333333333:root")],
            ["preprod", "prod"],
        ),
    ],
)
def test_arrows_go_to_the_hub_from_whom_it_grants_access(
    accounts: dict[str, str], policies_: list[dict[str, Any]], reading: list[str]
) -> None:
    deployments = {name: {"resources": []} for name in accounts} | {
        "governance": {"resources": policies_}
    }
    assert report.granted(deployments["governance"], accounts) == reading
    page = report.page(deployments, accounts, [])
    drawn = re.findall(r"<title>(\S+) is granted access by the hub</title>", page)
    assert drawn == reading
    assert page.count('marker-end="url(#tip)"') == len(reading)


def section(page: str, title: str) -> str:
    return page.split(f"<h3>{title}</h3>")[1].split("<h3>")[0]


def test_a_network_that_the_company_had_is_shown_from_the_stacks_outputs() -> None:
    outputs = {
        "vpc_id": "vpc-0123456789abcdef0",
        "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "endpoint_ids": {"s3": "vpce-1", "kms": "vpce-2"},
    }
    stack = {"type": "pulumi:pulumi:Stack", "outputs": outputs}
    page = report.page({"dev": {"resources": [stack]}}, {"dev": "2" * 12}, [])
    network, subnets = section(page, "Network"), section(page, "Subnets")
    assert "vpc-0123456789abcdef0" in network
    assert "kms, s3" in network
    assert all(subnet in subnets for subnet in outputs["private_subnet_ids"])
    assert "none" not in network + subnets
    assert section(page, "Buckets") == "<p>none</p>"


def test_a_network_that_was_made_is_shown_from_its_resources() -> None:
    resources = [
        {"type": "pulumi:pulumi:Stack", "outputs": {"vpc_id": "vpc-output"}},
        {"type": "aws:ec2/vpc:Vpc", "outputs": {"id": "vpc-made", "cidrBlock": "10.20.0.0/16"}},
        {
            "type": "aws:ec2/vpcEndpoint:VpcEndpoint",
            "inputs": {"serviceName": "com.amazonaws.eu-west-1.kms"},
        },
        {
            "type": "aws:ec2/subnet:Subnet",
            "outputs": {
                "subnetId": "subnet-made",
                "cidrBlock": "10.20.0.0/18",
                "availabilityZone": "eu-west-1a",
            },
        },
    ]
    page = report.page({"dev": {"resources": resources}}, {"dev": "2" * 12}, [])
    assert "vpc-made" in section(page, "Network")
    assert "eu-west-1.kms" in section(page, "Network")
    assert "vpc-output" not in page
    assert all(word in section(page, "Subnets") for word in ("subnet-made", "eu-west-1a"))


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
