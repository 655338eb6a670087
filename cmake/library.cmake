# The library: every source under src/, found by glob.
file(GLOB_RECURSE LATTICE_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cpp)

add_library(lattice ${LATTICE_SOURCES})
add_library(lattice::lattice ALIAS lattice)
target_include_directories(lattice
  PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_compile_features(lattice PUBLIC cxx_std_20)
target_link_libraries(lattice PRIVATE $<BUILD_INTERFACE:lattice_warnings> fmt::fmt TBB::tbb PNG::PNG Threads::Threads
                                      $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> liblzf::liblzf)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # Counting bits in one instruction, as every such processor since 2009 does, is what relations live on.
  target_compile_options(lattice PRIVATE -march=x86-64-v2)
endif()
# Before 1.0 a minor version may change anything, which the package's version says as well (see install.cmake).
set_target_properties(lattice PROPERTIES POSITION_INDEPENDENT_CODE ON VERSION ${PROJECT_VERSION}
                                         SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

include(${CMAKE_CURRENT_LIST_DIR}/kernel_flags.cmake)
lattice_kernel_flags(lattice)
