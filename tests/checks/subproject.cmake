# Configures the program that the README shows with the project as a part of it, and looks at how both would be compiled
# and what would be installed.
#   cmake -DSOURCE=<project> -DBUILD=<folder> -DCONSUMER=<tests/install> -DCOMPILER=<c++> -DGENERATOR=<Ninja or Makefiles>
#         -P subproject.cmake
function(run)
  execute_process(COMMAND ${CMAKE_COMMAND} ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(status)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
endfunction()

set(configure -G ${GENERATOR} -S ${CONSUMER} -B ${BUILD} -DCMAKE_CXX_COMPILER=${COMPILER} -DLATTICE_SOURCE=${SOURCE}
              -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
file(REMOVE_RECURSE ${BUILD})
run(${configure})
file(STRINGS ${BUILD}/compile_commands.json commands REGEX "\"command\": ")
set(checked 0)
foreach(command ${commands})
  if(command MATCHES " -Werror")
    message(FATAL_ERROR "A user's compiler may warn of what ours do not:\n${command}")
  endif()
  string(FIND "${command}" " ${SOURCE}/src/" library)
  if(library GREATER -1)
    math(EXPR checked "${checked} + 1")
    if(NOT command MATCHES " -ffp-contract=off ")
      message(FATAL_ERROR "The library's results depend on -ffp-contract=off:\n${command}")
    endif()
  elseif(command MATCHES " -(W|ffp-)")
    message(FATAL_ERROR "The options of the library's compilation are no business of its user's:\n${command}")
  endif()
endforeach()
if(checked LESS 50)
  message(FATAL_ERROR "Only ${checked} sources of the library were found in ${BUILD}/compile_commands.json")
endif()

# Nothing is built, so that an installation fails where it holds anything.
run(--install ${BUILD} --prefix ${BUILD}/prefix)

run(${configure} -DLATTICE_INSTALL=ON -DCMAKE_INSTALL_INCLUDEDIR=headers)
file(GLOB_RECURSE targets ${BUILD}/lattice/CMakeFiles/Export/*/lattice-targets.cmake)
file(READ "${targets}" text)
if(NOT text MATCHES "INTERFACE_INCLUDE_DIRECTORIES \"\\\${_IMPORT_PREFIX}/headers\"")
  message(FATAL_ERROR "The package does not name the folder that its headers are installed to:\n${text}")
endif()
message("${checked} sources, compiled as the library's in another project")
