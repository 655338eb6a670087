// every quoting there is
module attributes {lattice.ir_version = 2 : i64, lattice.schema_digest = "1380f1e819fc0eb1af587202ecec3c14ec2c981d249333c5061f0263f82072ad",
  lattice.input_names = ["a\22\\\n\C3\A9"], lattice.input_roles = ["tensor"],
  lattice.output_names = ["b"], lattice.output_roles = ["tensor"],
  lattice.weight_file = "weights.safetensors", "other" = array<i8: 1, -2>, unit, t = tensor<?xi4>, k = #lattice.join<"inner">} {
  func.func public @"forward"(%a: tensor< 3 x ? x 0x1 x f32 > {x.y = [1, {c}, -2.5e1 : f64]}) -> (tensor<3x?x0x1xf32>) {
    // nothing to do
    func.return %a : tensor<3x?x0x1xf32>
  }
}
