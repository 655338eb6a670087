# What is specific to an instruction set sits in src/cpu/kernels/, one file a set, each with the flags of its row here.
# lattice_kernel_flags(target) sets them for the target that compiles those files.
set(LATTICE_KERNELS_DIR ${CMAKE_CURRENT_LIST_DIR}/../src/cpu/kernels)
cmake_path(NORMAL_PATH LATTICE_KERNELS_DIR)

function(lattice_kernel_file_flags target file)
  set_source_files_properties(${LATTICE_KERNELS_DIR}/${file} TARGET_DIRECTORY ${target}
                              PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

function(lattice_kernel_flags target)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx2 -mavx2 -mfma -mf16c)
    # g++ 12's own AVX-512 header trips over the deliberately undefined registers in it.
    set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi -mbmi2 -Wno-uninitialized
               $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    set(avx_vnni ${avx2} -mavxvnni)
    if(LATTICE_SANITIZE)
      # Instrumented, those of AVX-512 take minutes to compile; the sets below run the same bodies with instrumentation,
      # AVX-VNNI's, which are avx2's with products of its own, with that of memory.
      list(APPEND avx_vnni -fno-sanitize=undefined)
      list(APPEND avx512 -fno-sanitize=all)
    endif()
    lattice_kernel_file_flags(${target} x86_avx2.cpp ${avx2})
    lattice_kernel_file_flags(${target} x86_avx_vnni.cpp ${avx_vnni})
    lattice_kernel_file_flags(${target} x86_avx512.cpp ${avx512})
    lattice_kernel_file_flags(${target} x86_avx512_vnni.cpp ${avx512} -mavx512vnni)
    lattice_kernel_file_flags(${target} x86_avx512_bf16.cpp ${avx512} -mavx512vnni -mavx512bf16)
    lattice_kernel_file_flags(${target} x86_amx.cpp ${avx512} -mamx-tile -mamx-int8 -mamx-bf16)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    lattice_kernel_file_flags(${target} arm_neon_dotprod.cpp -march=armv8.2-a+dotprod)
    lattice_kernel_file_flags(${target} arm_neon_bf16.cpp -march=armv8.2-a+dotprod+bf16)
  endif()
endfunction()
