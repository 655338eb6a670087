# Installs the build into an empty prefix and builds, against what is there alone, the program that the README shows.
#   cmake -DBUILD=<build folder> -DCONSUMER=<tests/install> -DCOMPILER=<c++> -DGENERATOR=<its generator> -P install_consumer.cmake
set(work ${BUILD}/install_consumer)
file(REMOVE_RECURSE ${work})
foreach(command
    "${CMAKE_COMMAND};--install;${BUILD};--prefix;${work}/prefix"
    "${CMAKE_COMMAND};-G;${GENERATOR};-S;${CONSUMER};-B;${work}/build;-DCMAKE_PREFIX_PATH=${work}/prefix;-DCMAKE_CXX_COMPILER=${COMPILER};-DCMAKE_BUILD_TYPE=Release"
    "${CMAKE_COMMAND};--build;${work}/build")
  execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(status)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
endforeach()
execute_process(COMMAND ${work}/build/consumer RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status OR NOT output MATCHES "4 voxels, 32 channels")
  message(FATAL_ERROR "the consumer ended with ${status}:\n${output}")
endif()
message("${output}")
