"""Importing a module of the AWS SDK warns about the deprecated types in it, used or not."""

import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\..*")
