"""The ways to data: a bucket, SQL over a catalog, and features; encrypted, through the VPC only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.contract import publish
from components.naming import Names, Placement
from components.personas import CENTRAL_FEATURES, JOB_TAG
from components.storage import BucketSpec, make_bucket, only_endpoints, only_key

OFFLINE_STORES = "sagemaker_featurestore"
"""Glue's database of all feature groups' offline stores, which SageMaker makes itself."""

EXEMPT_ROLES = (JOB_TAG, "lake-formation", "feature-store")
"""Roles whose ``Principal`` tag lets them reach the data bucket from outside the endpoints: the
services that take these roles read and write from networks of their own."""


def data_bucket_statements(
    names: Names, endpoint_ids: Sequence[Input[str]], key: Input[str]
) -> list[iam.Statement]:
    """The data bucket's policy: known endpoints, the exempt roles, or AWS services for callers."""
    exempt = [names.role(role) for role in EXEMPT_ROLES]
    return [
        *only_endpoints(names, "data", endpoint_ids, exempt, acl=False),
        *only_key(names.bucket_arn("data"), key),
    ]


class DataAccessArgs(TypedDict):
    """Inputs of :class:`DataAccess`."""

    placement: Placement
    """Where it lives."""
    owns_account: bool
    """Whether catalog encryption and Lake Formation's settings, which are account-wide, are set."""
    athena: bool
    lake_formation: bool
    feature_store: bool
    datazone: bool
    data_key_arn: Input[str]
    """Key of all data."""
    logs_key_arn: Input[str]
    """Key of log groups."""
    s3_endpoint_ids: Sequence[Input[str]]
    """S3 endpoints through which data may be reached."""
    access_log_bucket: Input[str]
    """Where access to the bucket is logged."""
    boundary_arn: Input[str]
    """Permissions boundary of the roles made here."""
    reader_role_arns: Mapping[str, Input[str]]
    """Who may query the database: name -> role."""
    administrator_role_arns: Sequence[Input[str]]
    """Lake Formation's administrators."""


class DataAccess(pulumi.ComponentResource):
    """Data bucket, Athena over Glue and Lake Formation, feature group and, if asked, DataZone."""

    data_bucket: Output[str]

    def __init__(
        self, name: str, args: DataAccessArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:DataAccess", name, dict(args), opts)
        self._name, self._args = name, args
        self._placement = args["placement"]
        self._names = Names.at(self._placement)
        self._bucket()
        self._values: dict[str, Input[str]] = {"data/bucket": self.data_bucket}
        governed = args["athena"] and args["lake_formation"]
        settings = self._lake_settings() if governed and args["owns_account"] else []
        if args["athena"]:
            database = self._athena(settings)
            if governed:
                self._lake_formation(database, settings)
        if args["feature_store"]:
            role, group = self._features(settings)
            if governed:
                self._offline_store(role, [*settings, group])
        if args["datazone"]:
            self._datazone()
        publish(self, name, self._names, self._values)
        self.register_outputs({"data_bucket": self.data_bucket})

    def _child(
        self, *, kept: bool = False, depends_on: Sequence[pulumi.Resource] = ()
    ) -> ResourceOptions:
        protect = kept and self._placement["protect"]
        return ResourceOptions(
            parent=self, protect=protect, retain_on_delete=protect, depends_on=list(depends_on)
        )

    def _bucket(self) -> None:
        names = self._names
        bucket, _ = make_bucket(
            f"{self._name}-data",
            BucketSpec(
                name=names.bucket("data"),
                arn=names.bucket_arn("data"),
                statements=data_bucket_statements(
                    names, self._args["s3_endpoint_ids"], self._args["data_key_arn"]
                ),
                key_arn=self._args["data_key_arn"],
                log_bucket=self._args["access_log_bucket"],
                protect=self._placement["protect"],
            ),
            self,
        )
        self.data_bucket = bucket.id

    def _service_role(
        self,
        role: str,
        service: str,
        prefixes: Sequence[str],
        more: Sequence[iam.Statement] = (),
    ) -> aws.iam.Role:
        arn = self._names.bucket_arn("data")
        made = aws.iam.Role(
            f"{self._name}-{role}",
            name=self._names.role(role),
            assume_role_policy=iam.render(
                [iam.service_trust(service, account_id=self._names.account_id)]
            ),
            permissions_boundary=self._args["boundary_arn"],
            tags={"Principal": self._names.role(role)},
            opts=self._child(),
        )
        aws.iam.RolePolicy(
            f"{self._name}-{role}",
            name="data",
            role=made.name,
            policy=iam.render(
                [
                    iam.Statement(
                        sid="Objects",
                        actions=["s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"],
                        resources=[f"{arn}/{prefix}*" for prefix in prefixes],
                    ),
                    iam.Statement(
                        sid="Bucket",
                        actions=["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:ListBucket"],
                        resources=[arn],
                    ),
                    iam.Statement(
                        sid="Key",
                        actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
                        resources=[self._args["data_key_arn"]],
                    ),
                    *more,
                ]
            ),
            opts=self._child(),
        )
        return made

    def _athena(self, settings: Sequence[pulumi.Resource]) -> aws.glue.CatalogDatabase:
        names, key = self._names, self._args["data_key_arn"]
        if self._args["owns_account"]:
            aws.glue.DataCatalogEncryptionSettings(
                f"{self._name}-catalog",
                data_catalog_encryption_settings={
                    "connection_password_encryption": {
                        "return_connection_password_encrypted": True,
                        "aws_kms_key_id": key,
                    },
                    "encryption_at_rest": {
                        "catalog_encryption_mode": "SSE-KMS",
                        "sse_aws_kms_key_id": key,
                    },
                },
                opts=self._child(),
            )
        aws.glue.SecurityConfiguration(
            f"{self._name}-jobs",
            name=names.name("glue-jobs"),
            encryption_configuration={
                "cloudwatch_encryption": {
                    "cloudwatch_encryption_mode": "SSE-KMS",
                    # Log groups are under the key that CloudWatch Logs itself may use.
                    "kms_key_arn": self._args["logs_key_arn"],
                },
                "job_bookmarks_encryption": {
                    "job_bookmarks_encryption_mode": "CSE-KMS",
                    "kms_key_arn": key,
                },
                "s3_encryption": {"s3_encryption_mode": "SSE-KMS", "kms_key_arn": key},
            },
            opts=self._child(),
        )
        database = aws.glue.CatalogDatabase(
            f"{self._name}-database",
            name=names.name("data").replace("-", "_"),
            description="Tables over the data bucket",
            location_uri=self.data_bucket.apply(lambda bucket: f"s3://{bucket}/tables/"),
            opts=self._child(depends_on=settings),
        )
        workgroup = aws.athena.Workgroup(
            f"{self._name}-workgroup",
            name=names.name("analysis"),
            description="Queries over the data bucket",
            configuration={
                "enforce_workgroup_configuration": True,
                "publish_cloudwatch_metrics_enabled": True,
                "result_configuration": {
                    "output_location": self.data_bucket.apply(
                        lambda bucket: f"s3://{bucket}/athena-results/"
                    ),
                    "encryption_configuration": {
                        "encryption_option": "SSE_KMS",
                        "kms_key_arn": key,
                    },
                },
            },
            opts=self._child(),
        )
        self._values["data/database"] = database.name
        self._values["data/workgroup"] = workgroup.name
        return database

    def _lake_settings(self) -> list[pulumi.Resource]:
        """Lake Formation's administrators, and that what is new is closed until it is granted.

        An account begins with all of a new database open to whom IAM lets to it, which no grant
        takes back: the settings come before the first database.
        Source: Lake Formation developer guide, "Changing the default settings for your data lake".
        """
        return [
            aws.lakeformation.DataLakeSettings(
                f"{self._name}-lake",
                admins=list(self._args["administrator_role_arns"]),
                create_database_default_permissions=[],
                create_table_default_permissions=[],
                opts=self._child(),
            )
        ]

    def _lake_formation(
        self, database: aws.glue.CatalogDatabase, settings: Sequence[pulumi.Resource]
    ) -> None:
        role = self._service_role("lake-formation", "lakeformation.amazonaws.com", ["tables/"])
        aws.lakeformation.Resource(
            f"{self._name}-tables",
            arn=f"{self._names.bucket_arn('data')}/tables",
            role_arn=role.arn,
            opts=self._child(depends_on=settings),
        )
        for reader, arn in self._args["reader_role_arns"].items():
            self._grant_reading(reader, arn, database.name, settings)

    def _grant_reading(
        self,
        grant: str,
        role_arn: Input[str],
        database: Input[str],
        needs: Sequence[pulumi.Resource],
    ) -> None:
        aws.lakeformation.Permissions(
            f"{self._name}-{grant}-database",
            principal=role_arn,
            permissions=["DESCRIBE"],
            database={"name": database},
            opts=self._child(depends_on=needs),
        )
        aws.lakeformation.Permissions(
            f"{self._name}-{grant}-tables",
            principal=role_arn,
            permissions=["DESCRIBE", "SELECT"],
            table={"database_name": database, "wildcard": True},
            opts=self._child(depends_on=needs),
        )

    def _offline_store(self, role: aws.iam.Role, needs: Sequence[pulumi.Resource]) -> None:
        """Grants on the tables of offline stores: their database comes with the first group."""
        aws.lakeformation.Permissions(
            f"{self._name}-feature-store-tables",
            principal=role.arn,
            permissions=["ALTER", "DESCRIBE"],
            table={"database_name": OFFLINE_STORES, "wildcard": True},
            opts=self._child(depends_on=needs),
        )
        for reader, arn in self._args["reader_role_arns"].items():
            self._grant_reading(f"{reader}-features", arn, OFFLINE_STORES, needs)

    def _features(
        self, settings: Sequence[pulumi.Resource]
    ) -> tuple[aws.iam.Role, aws.sagemaker.FeatureGroup]:
        key, names = self._args["data_key_arn"], self._names
        role = self._service_role(
            "feature-store",
            "sagemaker.amazonaws.com",
            ["features/"],
            [
                iam.Statement(
                    # Offline stores are tables of a database that SageMaker makes itself.
                    # Source: AmazonSageMakerFeatureStoreAccess in AWS's managed policies.
                    sid="Tables",
                    actions=["glue:GetTable", "glue:UpdateTable"],
                    resources=[
                        names.arn("glue", "catalog"),
                        names.arn("glue", f"database/{OFFLINE_STORES}"),
                        names.arn("glue", f"table/{OFFLINE_STORES}/*"),
                    ],
                )
            ],
        )
        group = aws.sagemaker.FeatureGroup(
            f"{self._name}-features",
            feature_group_name=names.name(CENTRAL_FEATURES),
            description="Features that teams share",
            record_identifier_feature_name="record_id",
            event_time_feature_name="event_time",
            role_arn=role.arn,
            feature_definitions=[
                {"feature_name": "record_id", "feature_type": "String"},
                {"feature_name": "event_time", "feature_type": "String"},
            ],
            online_store_config={
                "enable_online_store": True,
                "security_config": {"kms_key_id": key},
            },
            offline_store_config={
                "s3_storage_config": {
                    "s3_uri": self.data_bucket.apply(lambda bucket: f"s3://{bucket}/features/"),
                    "kms_key_id": key,
                },
                "table_format": "Glue",
            },
            opts=self._child(kept=True, depends_on=settings),
        )
        self._values["data/feature-group"] = group.feature_group_name
        return role, group

    def _datazone(self) -> None:
        role = aws.iam.Role(
            f"{self._name}-datazone",
            name=self._names.role("datazone"),
            assume_role_policy=iam.render(
                [
                    iam.service_trust(
                        "datazone.amazonaws.com",
                        account_id=self._names.account_id,
                        actions=["sts:AssumeRole", "sts:TagSession"],
                    )
                ]
            ),
            permissions_boundary=self._args["boundary_arn"],
            opts=self._child(),
        )
        aws.iam.RolePolicy(
            f"{self._name}-datazone",
            name="domain",
            role=role.name,
            policy=iam.render(
                [
                    iam.Statement(
                        sid="OwnDomain",
                        actions=["datazone:Get*", "datazone:List*", "datazone:Search"],
                        resources=[self._names.arn("datazone", "domain/*")],
                    ),
                    iam.Statement(
                        sid="UseKey",
                        actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
                        resources=[self._args["data_key_arn"]],
                    ),
                ]
            ),
            opts=self._child(),
        )
        domain = aws.datazone.Domain(
            f"{self._name}-datazone",
            name=self._names.name("data"),
            domain_execution_role=role.arn,
            kms_key_identifier=self._args["data_key_arn"],
            opts=self._child(kept=True),
        )
        self._values["data/datazone-domain"] = domain.id
