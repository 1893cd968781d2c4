# End-to-end tests on an emulated AWS: real Terraform and provider, real Lambda package, real containers. The emulator has
# its own environment, whose Python also runs the Lambda functions.

EMULATOR_VENV := .venv-e2e

# Exactly this version: tests/e2e/ministack_main.py extends its internals.
$(EMULATOR_VENV)/.made: tests/e2e/e2e.mk
	"$(PYTHON)" -m venv $(EMULATOR_VENV)
	$(EMULATOR_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'ministack==1.5.33' docker boto3
	@touch $@

# A running Docker engine, or one that is started for the tests (which needs root).
WITH_ENGINE := $(BIN)/python -m tests.e2e.engine

.PHONY: e2e
e2e: $(VENV)/.developer $(EMULATOR_VENV)/.made  ## end to end on an emulated AWS: needs Docker, Terraform, debootstrap
	$(WITH_ENGINE) $(BIN)/pytest -m e2e -n 2 --durations=10 tests/e2e
