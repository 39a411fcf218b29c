"""The versions of the central registry, for people: what they are, what they did, who decides.

:mod:`.hub` reads, :mod:`.decisions` approves, rejects and rolls back, :mod:`.lineage` tells where a
version comes from, :mod:`.text` and :mod:`.page` show it, and :mod:`.command` is the command line.
Whatever is decided here is enforced elsewhere: by IAM, and by the deployment function.
"""
