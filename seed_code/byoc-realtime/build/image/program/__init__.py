"""What the image runs: ``train`` and ``serve``, as SageMaker calls them."""
