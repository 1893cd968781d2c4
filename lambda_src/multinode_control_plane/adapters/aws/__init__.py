"""The control plane on AWS: DynamoDB, Streams, ECS on Fargate, task events, CloudWatch Logs, EventBridge, SSM.

The only modules of the control plane that know AWS. `clients.py` creates every client, so that time-outs, retries and
the standard ``AWS_ENDPOINT_URL[_<SERVICE>]`` variables apply to all of them.
"""
