"""What every build repository shares.

Settings, the platform's contract, jobs as the platform demands them, checks of a pipeline
definition, and running it. A template's own files are ``pipeline.py`` (which steps),
``config.yaml`` (with what) and ``steps/`` (what runs in the containers).
"""

import atexit
import gc

# Loading the SageMaker SDK makes objects by the million, none of them garbage: looking for some
# then, and once more at the end, took two fifths of a run's time.
gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)
