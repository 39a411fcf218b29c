"""The local cloud's stand-in for Pulumi's AWS plugin: a table of resource types over botocore.

``python -m localcloud.provider`` serves ``pulumi-resource-aws`` to the engine. ``table.py`` says
what a row is, ``rows/`` holds the rows (one file a service), ``schema.py`` knows each type's
properties from the installed ``pulumi_aws``, ``shapes.py`` turns properties into API parameters and
back by botocore's service models, ``server.py`` speaks the engine's protocol.
"""
