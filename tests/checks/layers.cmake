# A file includes only from its own or lower layers, and backends never include each other.
#   cmake -DROOT=<project> -P layers.cmake
# One line a layer, from low to high: patterns of paths below include/lattice, src, cli and bench.
set(LAYERS
  "lattice/(error|dtype|memory_pool).h|^(fail|sanitizers|transpose|held_places).h|^(error|dtype|memory_pool).cpp"
  "lattice/tensor.h|lattice/random.h|^tensor.cpp"
  "lattice/coords.h|lattice/points.h|lattice/picture.h|^coords.cpp|^points.cpp|^coord_index|^block_numbers|^block_lookup|^distinct_coords|^four_rows"
  "lattice/conv_geometry.h|^conv_geometry.cpp"
  "lattice/(sparse_tensor|relation|quantized_weight|conv_weight|epilogue|backend_kind|numerics).h|^(sparse_tensor|relation|quantized_weight|epilogue|numerics).cpp|^(activation|trilinear).h|^weight_rules.h"
  "lattice/(safetensors|npy|point_file).h|^io/"
  "lattice/(conv|pool|algebra|feature|voxelize|dense).h"
  "^backend.h|^combine.h|^conv_weight.cpp"
  "^reference/|^cpu/"
  "lattice/session.h|^session.cpp"
  "^ops/"
  "lattice/nn.h|lattice/nn2d.h|^nn/"
  "lattice/(model|model_builder).h|^artifact/"
  "lattice/(minkunet|detectors).h|^models/"
  "^cli/"
  "^bench/")

function(layer_of path result)
  set(number 0)
  foreach(patterns ${LAYERS})
    if(path MATCHES "${patterns}")
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
    if(included MATCHES "kernels.inc$")
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
    if(path MATCHES "^cpu/kernels/" AND NOT path MATCHES "/select" AND NOT included MATCHES "^cpu/kernels/|^lattice/dtype.h")
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
