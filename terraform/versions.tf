terraform {
  # 1.11 is the first with write-only arguments: the secrets in key.tf never enter the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6.28 prefers another spelling for the keys of a table's indexes, which 5.x does not know; both accept this one.
      version = ">= 5.100, < 7.0"
    }
  }
}
