"""The local cloud's stand-in for the ``awsx`` plugin: ``awsx:ec2:Vpc`` and its children.

``python -m localcloud.awsx`` serves ``pulumi-resource-awsx`` to the engine.
"""
