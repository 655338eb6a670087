module attributes {lattice.ir_version = 2 : i64, lattice.schema_digest = "1380f1e819fc0eb1af587202ecec3c14ec2c981d249333c5061f0263f82072ad",
  lattice.input_names = ["a"], lattice.input_roles = ["tensor"],
  lattice.output_names = ["b"], lattice.output_roles = ["tensor"],
  lattice.weight_file = "weights.safetensors"} {
  func.func @forward(%a: tensor<?x8xf32>) -> tensor<?x8xf32> {
    return %a : tensor<?x8xf32>
  }
}
