# Cross-compiles the kernels with their tests for 64-bit ARM, and runs them under an emulator.
#   cmake -DSOURCE=<tests/arm> -DBUILD=<folder> -DCOMPILER=<cross compiler> -DLAUNCHER=<ccache or nothing>
#         -DEMULATOR=<qemu-aarch64> -DGENERATOR=<its generator> -DHOST_INCLUDE_DIR=<that has fmt and gtest>
#         -DGOOGLETEST_DIR=<its sources> -P kernels_on_arm.cmake
function(run)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "${ARGN}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DHOST_INCLUDE_DIR=${HOST_INCLUDE_DIR} -DGOOGLETEST_DIR=${GOOGLETEST_DIR})
run(${CMAKE_COMMAND} --build ${BUILD} --parallel 2)
foreach(test kernels_test packed_kernels_test rounded_rows_test)
  run(${EMULATOR} -cpu max ${BUILD}/${test})
  foreach(isa neon_bf16 neon_dotprod neon scalar)
    if(NOT output MATCHES "OK \\] Kernels/EveryIsa[^\n]*/${isa} ")
      message(FATAL_ERROR "No test ran on ${isa}:\n${output}")
    endif()
  endforeach()
  # A core without dot products must be told so, and one without those of bfloat16.
  run(${EMULATOR} -cpu cortex-a53 ${BUILD}/${test})
  if(output MATCHES "neon_(bf16|dotprod)")
    message(FATAL_ERROR "Dot products ran on a core without them:\n${output}")
  endif()
  run(${EMULATOR} -cpu cortex-a76 ${BUILD}/${test})
  if(output MATCHES "neon_bf16" OR NOT output MATCHES "neon_dotprod")
    message(FATAL_ERROR "The sets of a core with dot products of bytes alone:\n${output}")
  endif()
endforeach()
message("neon_bf16, neon_dotprod, neon and scalar kernels pass their tests under ${EMULATOR}")
