# Your own network: two public subnets, and a database's security group that the workers may reach.

data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394:An example for any region; the first two zones stay the first two when one is added.
  state = "available"
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:An example; flow logs are billed by volume.
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id # without rules: nothing uses it
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "public" {
  count = 2

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 4, count.index)
  availability_zone = data.aws_availability_zones.available.names[count.index]
  tags              = { Name = "${var.name}-${count.index}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "public" {
  count = 2

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_security_group" "database" {
  # checkov:skip=CKV2_AWS_5:An example; attach it to your database.
  name        = "${var.name}-database"
  description = "A database that functions talk to"
  vpc_id      = aws_vpc.this.id
}
