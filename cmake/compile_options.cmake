# No product and sum are contracted into one rounding, in anything of ours: results are specified to the bit, and kernels
# that want fused multiply-adds ask for them by name.
add_compile_options(-ffp-contract=off)

# The presets make warnings errors; a user's own compiler may know others.
add_library(lattice_warnings INTERFACE)
target_compile_options(lattice_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion
  # g++ 12 warns wrongly inside fmt's format-string parser once that is inlined.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
