"""Policy pack for SageMaker MLOps platforms on AWS, written with Pulumi.

The rules are data (:mod:`mlops_policy.model`), one module a family; :mod:`mlops_policy.pack` turns
them into the policies of the Pulumi SDK. The package does not depend on the program that it checks,
so that any Pulumi program can install it: ``policies()`` is what to hand to ``PolicyPack``.

Unknown values: while a preview runs, a value that comes from a resource that is yet to be made is
not known. A rule never guesses. Whether something *is set* is decided without its value; a rule
that needs the value itself is put off (reported as not applicable, with the reason) and decides
on the update, before the resource is made.
"""

from mlops_policy.pack import policies

__all__ = ["policies"]
