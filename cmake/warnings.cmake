# Warnings are errors for everything that is ours; no contraction of a product and a sum into one rounding, since
# dequantize is specified to the bit (kernels that want fused multiply-adds ask for them by name).
add_library(lattice_warnings INTERFACE)
target_compile_options(lattice_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Werror -ffp-contract=off
  # g++ 12 warns wrongly inside fmt's format-string parser once that is inlined.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
