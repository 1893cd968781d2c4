"""The whole of it on an emulated AWS: real Terraform, real Lambda package, real Docker images and containers.

    make e2e

What is real, what stands in for AWS and what stands between them is told in CONTRIBUTING.md.
"""
