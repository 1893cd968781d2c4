"""What a deploy writes into each task definition and the control plane finds in its tasks again."""

__all__ = ["CONTAINER_NAME", "LOG_STREAM_PREFIX"]

CONTAINER_NAME = "worker"
LOG_STREAM_PREFIX = "worker"
"""Log streams are called ``worker/<container>/<task id>``."""
