module attributes {lattice.ir_version = 2 : i64, lattice.schema_digest = "1380f1e819fc0eb1af587202ecec3c14ec2c981d249333c5061f0263f82072ad",
  lattice.input_names = ["a"], lattice.input_roles = ["tensor"],
  lattice.output_names = ["b", "c"], lattice.output_roles = ["tensor", "tensor"],
  lattice.weight_file = "weights.safetensors"} {
  func.func @forward(%a: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
    %0 = lattice.weight @"a b" {storage_key = "k", layout = #lattice.weight_layout<linear_o_i>, packing = #lattice.packing<int8, group_size = 0064, scale_dtype = f32, mode = "affine">} : !lattice.weight<"linear", i4>
    %-x = lattice.linear %a, %0  : (tensor<?x8xf32>, !lattice.weight<"linear", i4>) -> (tensor<?x8xf32>)
    %y.1 = lattice.activation %-x {kind = #lattice.activation<softplus>, approximate = #lattice.gelu_approx<none>, alpha = 0x3C23D70A : f32, beta = 1.e-0 : f32, threshold = -0.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
    %z = lattice.softmax %y.1 {"axis" = -1 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
    return %z, %-x : tensor<?x8xf32>, tensor<?x8xf32>
  }
}
