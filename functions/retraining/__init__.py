"""Starts one retraining of a project when the traffic of its endpoint has drifted."""
