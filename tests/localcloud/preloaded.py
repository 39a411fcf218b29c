"""What emulators of tests share: imported by the process of which they are forks."""

import gc

from localcloud.emulator import acting, extensions, motoserver, process

gc.set_threshold(100_000, 20, 20)
motoserver.warm(process.WARMED)
extensions.load()
for service in ("cloudwatch", "events", "lambda", "logs", "s3", "sagemaker", "sqs", "sts"):
    acting.client(
        service, ("warm", "warm", None), region="us-east-1", endpoint="http://127.0.0.1:9"
    )
