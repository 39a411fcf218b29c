"""What the image runs: the steps of the pipeline, ``train`` and ``serve``."""
