# Targets for the Terraform module. Terraform itself comes from the PATH, checkov into an environment of its own: it is
# heavy, and its dependencies are not ours.

CHECKOV_VENV := .venv-checkov

$(CHECKOV_VENV)/bin/checkov:
	"$(PYTHON)" -m venv $(CHECKOV_VENV)
	@echo '*' > $(CHECKOV_VENV)/.gitignore
	$(CHECKOV_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'checkov>=3.3,<4'

.PHONY: checkov
checkov: $(CHECKOV_VENV)/bin/checkov  ## scan terraform/ with checkov; exceptions are explained beside each resource
	$(CHECKOV_VENV)/bin/checkov -d terraform --config-file terraform/.checkov.yaml

.PHONY: terraform-test
terraform-test: $(VENV)/.developer  ## `terraform test`: the module's wiring and validations against a mocked AWS
	$(BIN)/python scripts/terraform_offline.py test

.PHONY: terraform-readme
terraform-readme: $(VENV)/.developer  ## write the tables of inputs and outputs into terraform/README.md
	$(BIN)/python scripts/terraform_readme.py
