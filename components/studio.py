"""The Studio domain with its user profiles, and the execution roles of its personas.

Studio is reached through the VPC only, its volumes are encrypted with a customer key, idle apps are
shut down, and each persona runs under a role that can do what the persona may. Studio Classic is
switched off: its apps can no longer be made.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam, personas
from components.baseline_policies import SIGN_IN, sign_in_statements, sign_in_trust
from components.contract import publish
from components.naming import OWN_DOMAIN, Names, Placement
from components.project_templates import LOCATION_TAG, location

_START_UP = """#!/bin/bash
# Defaults of the SageMaker Python SDK for this domain: private, encrypted, no telemetry.
set -eu
# Jobs of each persona have a role of their own, and no other may be passed.
job_role={role}
if grep -qsF '{lead}"' {metadata}; then
  job_role={leads_role}
fi
mkdir -p "$HOME/.config/sagemaker"
cat > "$HOME/.config/sagemaker/config.yaml" <<DEFAULTS
{defaults}
DEFAULTS
git config --global init.defaultBranch main
"""

_METADATA = "/opt/ml/metadata/resource-metadata.json"
"""Where an app finds what it runs as, ``ExecutionRoleArn``.
Source: SageMaker Python SDK, which looks there for its own role."""

_DEFAULTS = """SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
  TrainingJob:
    RoleArn: $job_role
    EnableInterContainerTrafficEncryption: true
    OutputDataConfig: {{KmsKeyId: {output_key}}}
    ResourceConfig: {{VolumeKmsKeyId: {volume_key}}}
    VpcConfig: &vpc
      Subnets: [{subnets}]
      SecurityGroupIds: [{groups}]
  ProcessingJob:
    RoleArn: $job_role
    NetworkConfig:
      EnableInterContainerTrafficEncryption: true
      VpcConfig: *vpc
    ProcessingOutputConfig: {{KmsKeyId: {output_key}}}
    ProcessingResources: {{ClusterConfig: {{VolumeKmsKeyId: {volume_key}}}}}
  Pipeline:
    RoleArn: $job_role
  Model:
    ExecutionRoleArn: $job_role
    VpcConfig: *vpc
"""

_SHORTEST_IDLE_MINUTES = 60
"""What AWS allows at least. Source: IdleSettings in SageMaker's API reference."""

_APPS = {"jupyter-lab": "JupyterLab", "code-editor": "CodeEditor"}
"""The apps of Studio that may be started; each has its own start-up script."""

_PERSONA_OF = {
    "lead_data_scientists": "lead-data-scientist",
    "data_scientists": "data-scientist",
}


def thing_of(domain: str, thing: str) -> str:
    """What a thing of a domain is called, among those of all the environment's domains."""
    return thing if domain == OWN_DOMAIN else f"{OWN_DOMAIN}-{domain}-{thing}"


def domain_paths(domain: str) -> dict[str, str]:
    """What a domain publishes for those who make user profiles in it.

    Args:
        domain: :data:`OWN_DOMAIN`, or that of a business unit.

    Returns:
        ``domain_id``, ``auth_mode``, and each persona (its execution role's ARN) -> path of the
        contract.
    """
    if domain == OWN_DOMAIN:
        roles = {persona: f"roles/{persona}-execution/arn" for persona in personas.PERSONAS}
        return {"domain_id": "studio/domain-id", "auth_mode": "studio/auth-mode", **roles}
    roles = {persona: f"domains/{domain}/roles/{persona}/arn" for persona in personas.PERSONAS}
    return {
        "domain_id": f"domains/{domain}/domain-id",
        "auth_mode": f"domains/{domain}/auth-mode",
        **roles,
    }


class UserProfileArgs(TypedDict):
    """What a user profile is made of."""

    user: str
    """Its name, by which the person is known in sessions: see ``ExecutionRoleIdentityConfig``."""
    persona: str
    """``lead-data-scientist`` or ``data-scientist``."""
    domain_id: Input[str]
    execution_role_arn: Input[str]
    """The persona's role in that domain."""
    auth_mode: str
    """The domain's, ``IAM`` or ``SSO``; with SSO the name is that of the company's directory."""


def make_user_profile(
    name: str, args: UserProfileArgs, opts: ResourceOptions
) -> aws.sagemaker.UserProfile:
    """A user profile; what its person may do with private spaces is the persona's role's."""
    by_sso = args["auth_mode"] == "SSO"
    return aws.sagemaker.UserProfile(
        name,
        domain_id=args["domain_id"],
        user_profile_name=args["user"],
        single_sign_on_user_identifier="UserName" if by_sso else None,
        single_sign_on_user_value=args["user"] if by_sso else None,
        user_settings={"execution_role": args["execution_role_arn"]},
        tags={"persona": args["persona"], SIGN_IN: args["user"]},
        opts=opts,
    )


class StudioUsersArgs(TypedDict):
    """User profile names by persona."""

    lead_data_scientists: Sequence[str]
    data_scientists: Sequence[str]


class UnitArgs(TypedDict):
    """A business unit that has a domain of its own."""

    domain: str
    """What its domain is called: part of the names of all that it has of its own."""
    pipeline_role_arns: Mapping[str, Input[str]]
    """Persona -> role of the jobs that it starts: the environment's, for all domains."""


class StudioDomainArgs(TypedDict):
    """Inputs of :class:`StudioDomain`."""

    placement: Placement
    """Where it lives."""
    vpc_id: Input[str]
    subnet_ids: Input[Sequence[str]]
    """Private subnets of two zones or more."""
    security_group_ids: Sequence[Input[str]]
    """Workload security groups."""
    storage_key_arn: Input[str]
    """Key of home directories, volumes and jobs' disks."""
    data_key_arn: Input[str]
    """Key of jobs' outputs and shared notebook outputs."""
    models_key_arn: Input[str]
    """Key of model artifacts."""
    boundary_arn: Input[str]
    """Permissions boundary of the roles made here."""
    auth_mode: str
    """``IAM`` or ``SSO``."""
    sign_in_principals: NotRequired[Sequence[str]]
    """Patterns of ARNs of those who may open Studio's profiles with IAM, each their own; absent for
    identities of the hub that carry the tags ``persona`` and ``studio-user``."""
    users: StudioUsersArgs
    """User profiles."""
    instance_types: Mapping[str, Sequence[str]]
    """``lead_data_scientist`` and ``data_scientist`` -> allowed instance types."""
    default_instance_type: str
    """What an app starts on."""
    idle_timeout_minutes: int
    """Idle minutes after which an app is shut down, 60 or more."""
    unit: NotRequired[UnitArgs]
    """Whose domain it is, beside the environment's own; absent for that."""
    share_notebook_outputs: NotRequired[bool]
    """Whether outputs of notebook cells may be shared, encrypted with the data key in the data
    bucket; absent means no."""
    projects_from_s3: NotRequired[bool]
    """Whether projects are launched from the account's templates in S3 instead of Service Catalog's
    portfolios; absent means no."""
    isolate_containers: NotRequired[bool]
    """Whether training, processing and models must run without any network; absent means no, since
    the VPC already has no way out."""


class StudioDomain(pulumi.ComponentResource):
    """Domain, user profiles and execution roles."""

    domain_id: Output[str]
    url: Output[str]
    execution_role_arns: dict[str, Output[str]]
    """Persona -> execution role."""
    pipeline_role_arns: dict[str, Output[str]]
    """Persona -> role of the jobs that it starts."""

    def __init__(
        self, name: str, args: StudioDomainArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:StudioDomain", name, dict(args), opts)
        self._name, self._args = name, args
        self._placement = args["placement"]
        self._names = Names.at(self._placement)
        self._of_unit = "unit" in args
        self._domain_name = args["unit"]["domain"] if "unit" in args else OWN_DOMAIN
        self._from_s3 = args.get("projects_from_s3", False)
        self._subnets = Output.from_input(args["subnet_ids"])
        self._groups = Output.all(*args["security_group_ids"])
        self._roles()
        if args["auth_mode"] == "IAM" and not self._of_unit:
            self._sign_in()
        self._domain()
        self._profiles()
        self._parameters()
        self.register_outputs(
            {
                "domain_id": self.domain_id,
                "url": self.url,
                "execution_role_arns": self.execution_role_arns,
                "pipeline_role_arns": self.pipeline_role_arns,
            }
        )

    def _child(self, *, kept: bool = False) -> ResourceOptions:
        protect = kept and self._placement["protect"]
        return ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)

    def _own(self, thing: str) -> str:
        return thing_of(self._domain_name, thing)

    def _execution_role(
        self,
        role: str,
        statements: Sequence[iam.Statement],
        persona: str,
        tag: str | None = None,
    ) -> Output[str]:
        made = aws.iam.Role(
            f"{self._name}-{role}",
            name=self._names.role(role),
            assume_role_policy=iam.render(
                [
                    iam.service_trust(
                        "sagemaker.amazonaws.com",
                        account_id=self._names.account_id,
                        actions=["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
                    )
                ]
            ),
            permissions_boundary=self._args["boundary_arn"],
            # Bucket policies know the role by this tag.
            tags={"Principal": self._names.role(tag or role)},
            opts=self._child(),
        )
        keys = [self._args[key] for key in ("storage_key_arn", "data_key_arn", "models_key_arn")]
        guards = Output.all(
            self._subnets,
            self._groups,
            self._args["storage_key_arn"],
            self._args["data_key_arn"],
            self._args["models_key_arn"],
            self._args["vpc_id"],
        ).apply(
            lambda found: iam.document(
                personas.guard_statements(
                    {
                        "subnets": found[0],
                        "security_groups": found[1],
                        "volume_key": found[2],
                        "output_keys": [found[3], found[4]],
                        "instance_types": self._args["instance_types"][persona.replace("-", "_")],
                        "isolate": self._args.get("isolate_containers", False),
                        "vpc": found[5],
                    }
                )
            )
        )
        aws.iam.RolePolicy(
            f"{self._name}-{role}",
            name="work",
            role=made.name,
            policy=iam.render([*statements, personas.key_use(self._names, keys)]),
            opts=self._child(),
        )
        # A policy of its own: both together are over the limit of a role's inline policies.
        held_to = aws.iam.Policy(
            f"{self._name}-{role}-guards",
            name=self._names.name(f"{role}-guards", "policy"),
            description=f"Network, keys and instances of {role}",
            policy=Output.json_dumps(guards),
            opts=self._child(),
        )
        aws.iam.RolePolicyAttachment(
            f"{self._name}-{role}-guards",
            role=made.name,
            policy_arn=held_to.arn,
            opts=self._child(),
        )
        return made.arn

    def _roles(self) -> None:
        if "unit" in self._args:
            given = self._args["unit"]["pipeline_role_arns"]
            self.pipeline_role_arns = {
                persona: Output.from_input(given[persona]) for persona in personas.PERSONAS
            }
        else:
            self.pipeline_role_arns = {
                persona: self._execution_role(
                    personas.job_role(persona),
                    personas.job_statements(self._placement, persona),
                    persona,
                    personas.JOB_TAG,
                )
                for persona in personas.PERSONAS
            }
        self.execution_role_arns = {
            persona: self._execution_role(
                self._own(f"{persona}-execution"),
                personas.persona_statements(self._placement, persona, from_s3=self._from_s3),
                persona,
            )
            for persona in personas.PERSONAS
        }

    def _sign_in(self) -> None:
        """The role that opens profiles, in all domains of the account."""
        role = self._names.role(SIGN_IN)
        made = aws.iam.Role(
            f"{self._name}-{SIGN_IN}",
            name=role,
            assume_role_policy=iam.render(
                sign_in_trust(self._placement, self._args.get("sign_in_principals", ()))
            ),
            permissions_boundary=self._args["boundary_arn"],
            opts=self._child(),
        )
        aws.iam.RolePolicy(
            f"{self._name}-{SIGN_IN}",
            name="sign-in",
            role=made.name,
            policy=iam.render(sign_in_statements(self._names)),
            opts=self._child(),
        )

    def _start_up(self, app: str) -> aws.sagemaker.StudioLifecycleConfig:
        content = Output.all(
            self._subnets,
            self._groups,
            self.pipeline_role_arns,
            self._args["storage_key_arn"],
            self._args["data_key_arn"],
        ).apply(
            lambda found: base64.b64encode(
                _START_UP.format(
                    defaults=_DEFAULTS.format(
                        subnets=", ".join(found[0]),
                        groups=", ".join(found[1]),
                        volume_key=found[3],
                        output_key=found[4],
                    ).rstrip(),
                    metadata=_METADATA,
                    role=found[2]["data-scientist"],
                    lead=self._names.role_arn(self._own("lead-data-scientist-execution")),
                    leads_role=found[2]["lead-data-scientist"],
                ).encode()
            ).decode()
        )
        return aws.sagemaker.StudioLifecycleConfig(
            f"{self._name}-{app}",
            studio_lifecycle_config_name=self._names.name(self._own(f"{app}-start-up"), "domain"),
            studio_lifecycle_config_app_type=_APPS[app],
            studio_lifecycle_config_content=content,
            opts=self._child(),
        )

    def _app_settings(self, app: str) -> dict[str, Any]:
        """Settings of an app: its start-up script, its instance, and the end of idle ones."""
        start_up = self._start_up(app)
        longest = self._args["idle_timeout_minutes"]
        return {
            "app_lifecycle_management": {
                "idle_settings": {
                    "lifecycle_management": "ENABLED",
                    "idle_timeout_in_minutes": longest,
                    "min_idle_timeout_in_minutes": _SHORTEST_IDLE_MINUTES,
                    "max_idle_timeout_in_minutes": longest,
                }
            },
            "default_resource_spec": {
                "instance_type": self._args["default_instance_type"],
                "lifecycle_config_arn": start_up.arn,
            },
            "lifecycle_config_arns": [start_up.arn],
        }

    def _sharing(self) -> dict[str, Any]:
        if not self._args.get("share_notebook_outputs"):
            return {"notebook_output_option": "Disabled"}
        return {
            "notebook_output_option": "Allowed",
            "s3_output_path": f"s3://{self._names.bucket('data')}/notebook-outputs/",
            "s3_kms_key_id": self._args["data_key_arn"],
        }

    def _domain(self) -> None:
        args = self._args
        jupyter, editor = (self._app_settings(app) for app in _APPS)
        settings: dict[str, Any] = {
            "execution_role": self.execution_role_arns["data-scientist"],
            "security_groups": list(args["security_group_ids"]),
            "jupyter_lab_app_settings": jupyter,
        }
        domain = aws.sagemaker.Domain(
            f"{self._name}-domain",
            domain_name=self._names.name(
                f"{OWN_DOMAIN}-{self._domain_name}" if self._of_unit else OWN_DOMAIN, "domain"
            ),
            auth_mode=args["auth_mode"],
            app_network_access_type="VpcOnly",
            vpc_id=args["vpc_id"],
            subnet_ids=self._subnets,
            kms_key_id=args["storage_key_arn"],
            tag_propagation="ENABLED",
            tags={LOCATION_TAG: location(self._names)} if self._from_s3 else {},
            default_user_settings=cast(
                Any,
                {
                    **settings,
                    "code_editor_app_settings": editor,
                    "default_landing_uri": "studio::",
                    "studio_web_portal": "ENABLED",
                    "studio_web_portal_settings": {
                        "hidden_app_types": ["JupyterServer", "KernelGateway"]
                    },
                    "sharing_settings": self._sharing(),
                },
            ),
            default_space_settings=cast(Any, settings),
            domain_settings={
                "execution_role_identity_config": "USER_PROFILE_NAME",
                "security_group_ids": list(args["security_group_ids"]),
                "docker_settings": {"enable_docker_access": "DISABLED"},
            },
            # People's files go only when somebody says so: `automation destroy --delete-data`.
            retention_policy={"home_efs_file_system": "Retain"},
            opts=self._child(kept=True),
        )
        self.domain_id, self.url = domain.id, domain.url
        if not self._of_unit and not self._from_s3:
            # It is the account's, and goes with the domain that the account is made with.
            aws.sagemaker.ServicecatalogPortfolioStatus(
                f"{self._name}-projects", status="Enabled", opts=self._child()
            )

    def _profiles(self) -> None:
        for kind, persona in _PERSONA_OF.items():
            for user in self._args["users"][kind]:
                make_user_profile(
                    f"{self._name}-{user}",
                    {
                        "user": user,
                        "persona": persona,
                        "domain_id": self.domain_id,
                        "execution_role_arn": self.execution_role_arns[persona],
                        "auth_mode": self._args["auth_mode"],
                    },
                    self._child(),
                )

    def _parameters(self) -> None:
        paths = domain_paths(self._domain_name)
        values: dict[str, Input[str]] = {
            paths["domain_id"]: self.domain_id,
            paths["auth_mode"]: self._args["auth_mode"],
            **{paths[persona]: arn for persona, arn in self.execution_role_arns.items()},
        }
        if not self._of_unit:
            values |= {
                f"roles/{personas.job_role(persona)}/arn": arn
                for persona, arn in self.pipeline_role_arns.items()
            }
            # Names in the contract stay: repositories made before each persona had its own ask so.
            values["roles/pipeline-execution/arn"] = self.pipeline_role_arns["data-scientist"]
        publish(self, self._name, self._names, values)
