# The library: every source under src/, found by glob. What is specific to an instruction set sits in
# src/cpu/kernels/, one file a set, each with the flags of its row here.
file(GLOB_RECURSE LATTICE_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cpp)

add_library(lattice ${LATTICE_SOURCES})
add_library(lattice::lattice ALIAS lattice)
target_include_directories(lattice
  PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
  PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_compile_features(lattice PUBLIC cxx_std_20)
target_link_libraries(lattice PRIVATE $<BUILD_INTERFACE:lattice_warnings> fmt::fmt TBB::tbb PNG::PNG Threads::Threads
                                      $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> liblzf::liblzf)
set_target_properties(lattice PROPERTIES POSITION_INDEPENDENT_CODE ON VERSION ${PROJECT_VERSION} SOVERSION 0)

function(lattice_kernel_flags file)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/cpu/kernels/${file} TARGET_DIRECTORY lattice
                              PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(avx2 -mavx2 -mfma -mf16c)
  # g++ 12's own AVX-512 header trips over the deliberately undefined registers in it.
  set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -Wno-uninitialized
             $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  lattice_kernel_flags(x86_avx2.cpp ${avx2})
  lattice_kernel_flags(x86_avx_vnni.cpp ${avx2} -mavxvnni)
  lattice_kernel_flags(x86_avx512.cpp ${avx512})
  lattice_kernel_flags(x86_avx512_vnni.cpp ${avx512} -mavx512vnni)
  lattice_kernel_flags(x86_amx_int8.cpp ${avx512} -mamx-tile -mamx-int8)
endif()
