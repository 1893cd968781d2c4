# A deployment in the account's default VPC, with every default.

module "multinode" {
  source = "../.."
}

output "multinode" {
  description = "Where the deployment is, and which parameter holds its key. `multinode login --from-aws` reads both."
  value = {
    api_url           = module.multinode.api_url
    api_key_parameter = module.multinode.api_key_parameter
  }
}
