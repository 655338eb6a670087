# A file includes only from its own or lower layers, and backends never include each other.
#   cmake -DROOT=<project> -P layers.cmake
# One line a layer, from low to high: a pattern of whole paths below include, src, cli and bench, without their endings.
set(LAYERS
  "lattice/(error|dtype|memory_pool)|error|dtype|memory_pool|fail|sanitizers|transpose|held_places"
  "lattice/(tensor|random)|tensor"
  "lattice/(coords|points|picture)|coords|points|coord_index|block_numbers|block_lookup|distinct_coords|four_rows"
  "lattice/conv_geometry|conv_geometry"
  "lattice/(sparse_tensor|relation|quantized_weight|conv_weight|epilogue|backend_kind|numerics)|sparse_tensor|relation|quantized_weight|epilogue|numerics|activation|trilinear|weight_rules"
  "lattice/(safetensors|npy|point_file)|io/.*"
  "lattice/(conv|pool|algebra|feature|voxelize|dense)"
  "backend|combine|conv_weight"
  "(reference|cpu)/.*"
  "lattice/session|session"
  "ops/.*"
  "lattice/(nn|nn2d)|nn/.*"
  "lattice/(model|model_builder)|artifact/.*"
  "lattice/(minkunet|detectors)|models/.*"
  "cli/.*"
  "bench/.*")

function(layer_of path result)
  set(number 0)
  cmake_path(REMOVE_EXTENSION path LAST_ONLY OUTPUT_VARIABLE stem)
  foreach(pattern ${LAYERS})
    if(stem MATCHES "^(${pattern})$")
      set(${result} ${number} PARENT_SCOPE)
      return()
    endif()
    math(EXPR number "${number} + 1")
  endforeach()
  message(FATAL_ERROR "${path} belongs to no layer; name it in tests/checks/layers.cmake")
endfunction()

set(checked 0)
set(wrong "")
file(GLOB_RECURSE files ${ROOT}/include/lattice/*.h ${ROOT}/src/*.h ${ROOT}/src/*.cpp ${ROOT}/cli/*.h ${ROOT}/cli/*.cpp
     ${ROOT}/bench/*.h ${ROOT}/bench/*.cpp)
foreach(file ${files})
  file(RELATIVE_PATH path ${ROOT} ${file})
  string(REGEX REPLACE "^(include|src)/" "" path ${path})
  layer_of(${path} own)
  file(STRINGS ${file} includes REGEX "^#include \"")
  foreach(line ${includes})
    string(REGEX REPLACE "^#include \"([^\"]*)\".*" "\\1" included "${line}")
    if(included STREQUAL "cpu/kernels/kernels.inc")
      continue()
    endif()
    math(EXPR checked "${checked} + 1")
    if(path MATCHES "^cli/" AND EXISTS ${ROOT}/cli/${included})
      set(included cli/${included})
    endif()
    layer_of(${included} other)
    if(other GREATER own)
      string(APPEND wrong "\n  ${path} includes ${included}, which is a layer above it")
    endif()
    if(path MATCHES "^cpu/" AND included MATCHES "^reference/" OR path MATCHES "^reference/" AND included MATCHES "^cpu/")
      string(APPEND wrong "\n  ${path} includes ${included}: backends never include each other")
    endif()
    if(path MATCHES "^cpu/kernels/" AND NOT path MATCHES "^cpu/kernels/select[.]" AND NOT included MATCHES "^cpu/kernels/|^lattice/dtype[.]h$")
      string(APPEND wrong "\n  ${path} includes ${included}: kernels stand alone")
    endif()
  endforeach()
endforeach()
if(wrong)
  message(FATAL_ERROR "Layers are broken:${wrong}")
endif()
if(checked LESS 50)
  message(FATAL_ERROR "Only ${checked} includes were found below ${ROOT}; is it the project?")
endif()
message("${checked} includes keep to the layers")
