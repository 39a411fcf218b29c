"""IAM authorization: AWS's policy evaluation, by an evaluator that runs beside us."""

from localcloud.authorization.evaluator import (
    Decision,
    Document,
    Evaluator,
    EvaluatorError,
    Policies,
    PolicyError,
    Request,
    Statement,
)
from localcloud.authorization.installation import NotInstalledError, install

__all__ = [
    "Decision",
    "Document",
    "Evaluator",
    "EvaluatorError",
    "NotInstalledError",
    "Policies",
    "PolicyError",
    "Request",
    "Statement",
    "install",
]
