# SPDX-License-Identifier: MIT
# Rules for `cmake --install`: the headers, the libraries, the package `tessera` for find_package, and
# tessera.pc, tessera_c.pc and tessera_cblas.pc for pkg-config. The installed folder may be moved.
#
# An installed Highway is a dependency of the package. A fetched one is installed with it, as a part
# of the package under names of ours: Highway's own rules would write a libhwy.pc with this project's
# version, and would put a second hwy/ in front of one that the system may have.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(targets tessera tessera_impl)
set(dependencies "include(CMakeFindDependencyMacro)\nfind_dependency(hwy 1.2 CONFIG)")
if(tessera_highway_sources)
  set(highway_include "${CMAKE_INSTALL_INCLUDEDIR}/tessera_highway")
  set(in_build "$<BUILD_INTERFACE:${tessera_highway_sources}>")
  set_target_properties(hwy PROPERTIES OUTPUT_NAME tessera_hwy
    INTERFACE_INCLUDE_DIRECTORIES "${in_build};$<INSTALL_INTERFACE:${highway_include}>"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${in_build}")
  list(APPEND targets hwy)
  set(dependencies)
  install(DIRECTORY "${tessera_highway_sources}/hwy" DESTINATION "${highway_include}"
    FILES_MATCHING PATTERN "*.h" PATTERN contrib EXCLUDE PATTERN examples EXCLUDE PATTERN tests EXCLUDE)
  install(FILES "${tessera_highway_sources}/LICENSE" "${tessera_highway_sources}/LICENSE-BSD3"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}/highway")
endif()
foreach(library tessera_c tessera_cblas)
  if(TARGET ${library})
    list(APPEND targets ${library})
  endif()
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(TARGETS ${targets} EXPORT tesseraTargets
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"  # CMake before 3.23 reads no file sets
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET bodies DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/tessera")
install(EXPORT tesseraTargets NAMESPACE tessera:: DESTINATION "${package}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/tesseraConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/tesseraConfig.cmake" INSTALL_DESTINATION "${package}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tesseraConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)  # before 1.0 a minor version may change the API
install(FILES "${PROJECT_BINARY_DIR}/tesseraConfig.cmake"
  "${PROJECT_BINARY_DIR}/tesseraConfigVersion.cmake" DESTINATION "${package}")

# tessera_pc_definitions(<variable> <target>): its definitions, quoted for pkg-config.
function(tessera_pc_definitions variable target)
  get_target_property(definitions ${target} INTERFACE_COMPILE_DEFINITIONS)
  list(TRANSFORM definitions REPLACE "(.+)" " '-D\\1'")
  list(JOIN definitions "" definitions)
  set(${variable} "${definitions}" PARENT_SCOPE)
endfunction()

# Found from the file's own folder, unless somebody asked for libraries at a place of their own.
set(pc_folder "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  string(REGEX REPLACE "[^/]+" ".." pc_prefix "${pc_folder}")
  string(PREPEND pc_prefix "\${pcfiledir}/")
endif()
set(pc_includedir "\${prefix}")
set(pc_libdir "\${prefix}")
cmake_path(APPEND pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")  # which replaces it by a full path
cmake_path(APPEND pc_libdir "${CMAKE_INSTALL_LIBDIR}")
set(pc_requires "Requires: libhwy >= 1.2\n")
tessera_pc_definitions(pc_definitions tessera)
set(pc_highway_include)
set(pc_highway_library)
if(tessera_highway_sources)
  set(pc_requires)
  tessera_pc_definitions(of_highway hwy)
  string(APPEND pc_definitions "${of_highway}")
  set(pc_highway_include " -I\${includedir}/tessera_highway")
  set(pc_highway_library " -ltessera_hwy")
endif()
set(pc_names tessera)
foreach(library tessera_c tessera_cblas)
  if(TARGET ${library})
    list(APPEND pc_names ${library})
  endif()
endforeach()
foreach(name IN LISTS pc_names)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${pc_folder}")
endforeach()
