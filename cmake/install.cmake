include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS lattice EXPORT lattice-targets)
install(DIRECTORY include/lattice TYPE INCLUDE)
if(LATTICE_BUILD_CLI)
  install(TARGETS lattice_cli)
endif()
set(LATTICE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/lattice)
install(EXPORT lattice-targets NAMESPACE lattice:: DESTINATION ${LATTICE_CMAKE_DIR})
configure_package_config_file(cmake/lattice-config.cmake.in lattice-config.cmake INSTALL_DESTINATION ${LATTICE_CMAKE_DIR})
write_basic_package_version_file(lattice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lattice-config.cmake ${PROJECT_BINARY_DIR}/lattice-config-version.cmake
        DESTINATION ${LATTICE_CMAKE_DIR})
