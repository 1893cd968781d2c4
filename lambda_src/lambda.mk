# The control plane's package for AWS: what terraform/ installs.

LAMBDA_PACKAGE ?= terraform/multinode-lambda.zip

.PHONY: lambda
lambda: $(VENV)/.developer  ## build the Lambda package, the same bytes everywhere: terraform/multinode-lambda.zip
	$(BIN)/python -m multinode_cli.aws_install.lambda_package --output $(LAMBDA_PACKAGE)

.PHONY: wheel
wheel: lambda  ## build the wheel with all that `multinode install` needs in it: dist/
	$(BIN)/python -m build --wheel
