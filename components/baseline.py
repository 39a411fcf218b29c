"""What every account of the platform has, before anything else is in it.

Keys by purpose, buckets for logs, the personas' roles, budgets, and, once per account, the
account-wide settings. The audit trail is :mod:`components.audit_trail`, since it belongs to the
hub. The bootstrap makes the deployer's role, since that makes this, and the permissions boundary,
since whoever could rewrite it would have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components import baseline_policies as policies
from components import iam
from components.contract import publish
from components.naming import HUB, Names, Placement
from components.storage import BucketSpec, make_bucket


class SecurityServicesArgs(TypedDict):
    """Which account-level services are on."""

    access_analyzer: bool
    config: bool
    guardduty: bool
    security_hub: bool


class AccountBaselineArgs(TypedDict):
    """Inputs of :class:`AccountBaseline`."""

    placement: Placement
    """Where it lives."""
    owns_account: bool
    """Whether the account-wide settings are made here: once per account, when several
    environments share one."""
    log_retention_days: int
    """How long logs are kept."""
    key_deletion_days: int
    """Waiting period of keys' deletion, 7 to 30 days."""
    security_services: SecurityServicesArgs
    """Account-level services."""
    budgets: Mapping[str, int]
    """Cost centre -> US dollars a month."""
    budget_emails: Sequence[str]
    """Who is told of a passed budget, beside the alerts topic."""
    personas: Mapping[str, Sequence[str]]
    """Persona -> principals that may assume its role; none: hub identities with its tag."""
    offers_products: NotRequired[bool]
    """Whether the hub offers products of Service Catalog; absent means yes."""


class AccountBaseline(pulumi.ComponentResource):
    """Keys, log buckets, roles, budgets and account-wide settings."""

    key_arns: dict[str, Output[str]]
    """Purpose (data, logs, storage, messages) -> key."""
    boundary_arn: str
    """Permissions boundary of every role in the account; the bootstrap makes it."""
    log_bucket: Output[str]
    access_log_bucket: Output[str]
    role_arns: dict[str, Output[str]]
    """Persona, and ``model-execution`` for deployed models that no project has -> role."""
    alerts_topic_arn: Output[str]

    def __init__(
        self, name: str, args: AccountBaselineArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:AccountBaseline", name, dict(args), opts)
        self._name, self._args = name, args
        self._placement = args["placement"]
        self._names = Names.at(self._placement)
        self.boundary_arn = self._names.policy_arn("boundary")
        self._keys()
        self._buckets()
        self._roles()
        self._alerts()
        if args["owns_account"]:
            self._account_settings()
            self._security_services()
        self._parameters()
        self.register_outputs(
            {
                "key_arns": self.key_arns,
                "boundary_arn": self.boundary_arn,
                "log_bucket": self.log_bucket,
                "access_log_bucket": self.access_log_bucket,
                "role_arns": self.role_arns,
                "alerts_topic_arn": self.alerts_topic_arn,
            }
        )

    def _child(self, *, kept: bool = False) -> ResourceOptions:
        protect = kept and self._placement["protect"]
        return ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)

    def _keys(self) -> None:
        self.key_arns = {}
        for purpose in policies.ACCOUNT_KEYS:
            key = aws.kms.Key(
                f"{self._name}-{purpose}",
                description=f"{self._names.prefix} {self._names.environment}: {purpose}",
                enable_key_rotation=True,
                deletion_window_in_days=self._args["key_deletion_days"],
                policy=iam.render(policies.key_statements(self._names, purpose)),
                opts=self._child(kept=True),
            )
            aws.kms.Alias(
                f"{self._name}-{purpose}",
                name=self._names.alias(purpose),
                target_key_id=key.key_id,
                opts=self._child(),
            )
            self.key_arns[purpose] = key.arn

    def _buckets(self) -> None:
        protect = self._placement["protect"]
        days = self._args["log_retention_days"]
        access_arn = self._names.bucket_arn("access-logs")
        _, access_policy = make_bucket(
            f"{self._name}-access-logs",
            BucketSpec(
                name=self._names.bucket("access-logs"),
                arn=access_arn,
                statements=[
                    iam.Statement(
                        sid="AccessLogDelivery",
                        principals={"Service": ["logging.s3.amazonaws.com"]},
                        actions=["s3:PutObject"],
                        resources=[f"{access_arn}/*"],
                        conditions={
                            "StringEquals": {"aws:SourceAccount": self._names.account_id},
                        },
                    )
                ],
                expire_days=days,
                protect=protect,
            ),
            self,
        )
        logs, _ = make_bucket(
            f"{self._name}-logs",
            BucketSpec(
                name=self._names.bucket("logs"),
                arn=self._names.bucket_arn("logs"),
                statements=self._config_delivery(),
                key_arn=self.key_arns["logs"],
                log_bucket=access_policy.bucket,
                expire_days=days,
                protect=protect,
            ),
            self,
        )
        # S3 refuses a log target whose policy does not admit the logging service yet.
        self.access_log_bucket, self.log_bucket = access_policy.bucket, logs.id

    def _config_delivery(self) -> list[iam.Statement]:
        if not (self._args["owns_account"] and self._args["security_services"]["config"]):
            return []
        arn = self._names.bucket_arn("logs")
        ours = {"StringEquals": {"aws:SourceAccount": self._names.account_id}}
        return [
            iam.Statement(
                sid="ConfigChecksBucket",
                principals={"Service": ["config.amazonaws.com"]},
                actions=["s3:GetBucketAcl", "s3:ListBucket"],
                resources=[arn],
                conditions=ours,
            ),
            iam.Statement(
                sid="ConfigDelivers",
                principals={"Service": ["config.amazonaws.com"]},
                actions=["s3:PutObject"],
                resources=[f"{arn}/AWSLogs/{self._names.account_id}/Config/*"],
                conditions=ours,
            ),
        ]

    def _role(
        self,
        role: str,
        trust: Sequence[iam.Statement],
        statements: Sequence[iam.Statement],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        made = aws.iam.Role(
            f"{self._name}-{role}",
            name=self._names.role(role),
            assume_role_policy=iam.render(trust),
            permissions_boundary=self.boundary_arn,
            tags=dict(tags) if tags else None,
            opts=self._child(),
        )
        aws.iam.RolePolicy(
            f"{self._name}-{role}",
            name=role,
            role=made.name,
            policy=iam.render(statements),
            opts=self._child(),
        )
        self.role_arns[role] = made.arn

    def _roles(self) -> None:
        self.role_arns = {}
        for persona in policies.PERSONAS:
            self._role(
                persona,
                policies.persona_trust(
                    self._placement, persona, self._args["personas"].get(persona, ())
                ),
                policies.persona_statements(
                    self._placement,
                    persona,
                    offers_products=self._args.get("offers_products", True),
                ),
            )
        if self._placement["environment"] != HUB:
            self._role(
                "model-execution",
                [iam.service_trust("sagemaker.amazonaws.com", account_id=self._names.account_id)],
                policies.model_execution_statements(self._placement),
            )

    def _alerts(self) -> None:
        account = self._names.account_id
        arn = self._names.arn("sns", self._names.name("alerts"))
        topic = aws.sns.Topic(
            f"{self._name}-alerts",
            name=self._names.name("alerts"),
            kms_master_key_id=self.key_arns["messages"],
            opts=self._child(),
        )
        aws.sns.TopicPolicy(
            f"{self._name}-alerts",
            arn=topic.arn,
            policy=iam.render(
                [
                    iam.Statement(
                        sid="AlertsFromServices",
                        principals={
                            "Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
                        },
                        actions=["sns:Publish"],
                        resources=[arn],
                        conditions={"StringEquals": {"aws:SourceAccount": account}},
                    ),
                    iam.Statement(
                        sid="DenyInsecureTransport",
                        effect="Deny",
                        principals="*",
                        actions=["sns:Publish"],
                        resources=[arn],
                        conditions={"Bool": {"aws:SecureTransport": "false"}},
                    ),
                ]
            ),
            opts=self._child(),
        )
        self.alerts_topic_arn = topic.arn
        for cost_centre, limit in self._args["budgets"].items():
            notifications: list[aws.budgets.BudgetNotificationArgsDict] = [
                {
                    "notification_type": kind,
                    "comparison_operator": "GREATER_THAN",
                    "threshold": threshold,
                    "threshold_type": "PERCENTAGE",
                    "subscriber_sns_topic_arns": [topic.arn],
                    "subscriber_email_addresses": list(self._args["budget_emails"]),
                }
                for kind, threshold in (("ACTUAL", 80), ("FORECASTED", 100))
            ]
            aws.budgets.Budget(
                f"{self._name}-{cost_centre}",
                name=self._names.name(cost_centre, "budget"),
                budget_type="COST",
                limit_amount=str(limit),
                limit_unit="USD",
                time_unit="MONTHLY",
                # Source: CreateBudget in AWS Budgets' API reference, CostFilters; "user:" is what
                # tags of one's own begin with in billing.
                cost_filters=[
                    {"name": "TagKeyValue", "values": [f"user:cost-centre${cost_centre}"]}
                ],
                notifications=notifications,
                opts=self._child(),
            )

    def _account_settings(self) -> None:
        aws.s3.AccountPublicAccessBlock(
            f"{self._name}-account",
            account_id=self._names.account_id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child(),
        )
        aws.ebs.EncryptionByDefault(f"{self._name}-account", enabled=True, opts=self._child())
        aws.ebs.DefaultKmsKey(
            f"{self._name}-account", key_arn=self.key_arns["storage"], opts=self._child()
        )
        aws.iam.AccountPasswordPolicy(
            f"{self._name}-account",
            minimum_password_length=14,
            require_lowercase_characters=True,
            require_uppercase_characters=True,
            require_numbers=True,
            require_symbols=True,
            password_reuse_prevention=24,
            max_password_age=90,
            allow_users_to_change_password=True,
            opts=self._child(),
        )

    def _security_services(self) -> None:
        wanted = self._args["security_services"]
        if wanted["access_analyzer"]:
            aws.accessanalyzer.Analyzer(
                f"{self._name}-analyzer",
                analyzer_name=self._names.name("analyzer"),
                type="ACCOUNT",
                opts=self._child(),
            )
        if wanted["guardduty"]:
            aws.guardduty.Detector(
                f"{self._name}-detector",
                enable=True,
                finding_publishing_frequency="FIFTEEN_MINUTES",
                opts=self._child(),
            )
        hub_needs: list[pulumi.Resource] = []
        if wanted["config"]:
            hub_needs = [self._config()]
        if wanted["security_hub"]:
            aws.securityhub.Account(
                f"{self._name}-hub",
                enable_default_standards=True,
                opts=ResourceOptions(parent=self, depends_on=hub_needs),
            )

    def _config(self) -> pulumi.Resource:
        names = self._names
        recorder = aws.cfg.Recorder(
            f"{self._name}-recorder",
            name=names.name("recorder"),
            role_arn=policies.config_role_arn(names),
            recording_group={"all_supported": True, "include_global_resource_types": True},
            opts=self._child(),
        )
        channel = aws.cfg.DeliveryChannel(
            f"{self._name}-recorder",
            name=names.name("recorder"),
            s3_bucket_name=self.log_bucket,
            s3_kms_key_arn=self.key_arns["logs"],
            opts=ResourceOptions(parent=self, depends_on=[recorder]),
        )
        return aws.cfg.RecorderStatus(
            f"{self._name}-recorder",
            name=recorder.name,
            is_enabled=True,
            opts=ResourceOptions(parent=self, depends_on=[channel]),
        )

    def _parameters(self) -> None:
        publish(
            self,
            self._name,
            self._names,
            {
                **{f"kms/{purpose}/arn": arn for purpose, arn in self.key_arns.items()},
                **{f"roles/{role}/arn": arn for role, arn in self.role_arns.items()},
                "iam/boundary-arn": self.boundary_arn,
                "buckets/logs": self.log_bucket,
                "buckets/access-logs": self.access_log_bucket,
                "alerts/topic-arn": self.alerts_topic_arn,
            },
        )
