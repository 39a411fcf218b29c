"""SageMaker's jobs, pipeline executions and endpoints as real processes.

What runs is the given script or model, with the container's folder and environment contract, the
role's credentials and the VPC's ways out; what stands in for an image is said in
:mod:`localcloud.emulator.jobs.images`.
"""
