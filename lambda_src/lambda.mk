# The control plane's package for AWS, which terraform/ installs.

WHEEL_PYTHON ?= $(PYTHON)
LAMBDA_PACKAGE ?= terraform/multinode-lambda.zip

.PHONY: lambda
lambda: $(VENV)/.developer  ## build the Lambda package, the same bytes everywhere: terraform/multinode-lambda.zip
	$(BIN)/python -m multinode_cli.aws_install.lambda_package --output $(LAMBDA_PACKAGE)

# Built from the source distribution, so that the latter is complete, and so that nothing comes from an older build/.
.PHONY: wheel
wheel: lambda  ## build the source distribution and the wheel, with everything that `multinode install` needs: dist/
	rm -rf dist
	$(BIN)/python -m build

.PHONY: test-wheel
test-wheel: wheel  ## run the tests against the installed wheel; with another Python: WHEEL_PYTHON=python3.13
	scripts/test_wheel.sh "$(WHEEL_PYTHON)" dist/*.whl
