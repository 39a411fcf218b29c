"""What every build repository shares.

Settings, the platform's contract, jobs as the platform demands them, checks of a pipeline
definition, and running it. A template's own files are ``pipeline.py`` (which steps),
``config.yaml`` (with what) and ``steps/`` (what runs in the containers).
"""
