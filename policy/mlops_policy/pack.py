"""Turns the rules into policies of the Pulumi SDK."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, cast

from pulumi_policy import (
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from mlops_policy.iam import DocumentError
from mlops_policy.model import Resource, ResourceRule, Rule, Stack, StackRule
from mlops_policy.registry import RULES
from mlops_policy.values import NotKnownYetError

NAME = "mlops"
DOCUMENTATION = "docs/policies.md"


def policies() -> list[Policy]:
    """The pack's policies, in the order of the documentation."""
    return [policy(rule) for rule in RULES]


def policy(rule: Rule) -> Policy:
    """The SDK's policy that enforces a rule."""
    if isinstance(rule, StackRule):
        return StackValidationPolicy(validate=_stack_validation(rule), **_metadata(rule))
    return ResourceValidationPolicy(
        validate=_resource_validation(rule), remediate=_remediation(rule), **_metadata(rule)
    )


def _metadata(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.title,
        "enforcement_level": rule.level,
        "config_schema": PolicyConfigSchema(
            properties={
                name: {
                    **option.schema,
                    "description": option.description,
                    "default": option.default,
                }
                for name, option in rule.options.items()
            }
        ),
        "display_name": rule.name.replace("-", " ").capitalize(),
        "severity": rule.severity,
        "tags": [rule.family],
        "remediation_steps": rule.fix,
        "url": f"{DOCUMENTATION}#{rule.name}",
    }


def _message(rule: Rule, resource: Resource, problem: str) -> str:
    return f"{resource.name}: {problem}. Fix: {rule.fix}"


def _resource_validation(rule: ResourceRule) -> Any:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not rule.applies(args.resource_type):
            return
        options = rule.settings(args.get_config())
        resource = Resource(
            args.resource_type, args.name, args.urn, args.props, args.opts, args.provider
        )
        if resource.named(options["exempt"]):
            args.not_applicable("exempt by the configuration of the pack")
        clean = True
        try:
            for problem in rule.check(resource, options):
                clean = False
                report(_message(rule, resource, problem), None)
        except DocumentError as error:
            report(_message(rule, resource, f"its policy cannot be read: {error}"), None)
        except NotKnownYetError as error:
            if clean:
                args.not_applicable(str(error))

    return validate


def _stack_validation(rule: StackRule) -> Any:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        options = rule.settings(args.get_config())
        stack = Stack(args.resources)
        clean, put_off = True, None
        for subject in stack.of(*rule.subjects):
            if subject.named(options["exempt"]):
                continue
            try:
                for problem in rule.check(subject, stack, options):
                    clean = False
                    report(_message(rule, subject, problem), subject.urn)
            except DocumentError as error:
                clean = False
                report(_message(rule, subject, f"a policy cannot be read: {error}"), subject.urn)
            except NotKnownYetError as error:
                put_off = put_off or f"{subject.name}: {error}"
        if clean and put_off:
            args.not_applicable(put_off)

    return validate


def _remediation(rule: ResourceRule) -> Any:
    remedy = rule.remedy
    if remedy is None:
        return None

    def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
        if not rule.applies(args.resource_type):
            return None
        # The SDK hands a proxy here that can be written to and keeps secrets secret.
        props = cast(MutableMapping[str, Any], args.props)
        resource = Resource(args.resource_type, args.name, args.urn, {}, args.opts, args.provider)
        return props if remedy(resource, props, rule.settings(args.get_config())) else None

    return remediate
