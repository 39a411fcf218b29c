"""The local cloud: an emulated multi-account AWS, and the engine parts to come up on it.

Nothing here is on the path to production: the product never imports this package.
"""
