"""Emulated CloudFormation: stacks of custom resources, whose functions really run."""

from localcloud.emulator.stacks.answers import ORGANIZATION
from localcloud.emulator.stacks.sources import read_object
from localcloud.emulator.stacks.stacks import Stack, StackError, Stacks
from localcloud.emulator.stacks.templates import Template, TemplateError, read

__all__ = [
    "ORGANIZATION",
    "Stack",
    "StackError",
    "Stacks",
    "Template",
    "TemplateError",
    "read",
    "read_object",
]
