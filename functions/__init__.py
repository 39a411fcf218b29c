"""Functions that run in the accounts: each package is one AWS Lambda function, boto3 only."""
