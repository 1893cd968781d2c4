# The whole of it on an emulated AWS: real Terraform and provider, real Lambda package, real containers. The emulator lives
# in an environment of its own, whose Python also runs the Lambda functions.

EMULATOR_VENV := .venv-e2e

# This version and no other: tests/e2e/ministack_main.py adds to its inside.
$(EMULATOR_VENV)/.made: tests/e2e/e2e.mk
	"$(PYTHON)" -m venv $(EMULATOR_VENV)
	$(EMULATOR_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'ministack==1.5.33' docker boto3
	@touch $@

# The engine that answers, or one started for as long as the tests run (which needs root).
WITH_ENGINE := $(BIN)/python -m tests.e2e.engine

.PHONY: e2e
e2e: $(VENV)/.developer $(EMULATOR_VENV)/.made  ## end to end on an emulated AWS: needs Docker, Terraform, debootstrap
	$(WITH_ENGINE) $(BIN)/pytest -m e2e -n 2 --durations=10 tests/e2e
