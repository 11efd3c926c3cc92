# SPDX-License-Identifier: MIT
# An overlay port, which builds the tree that it lies in:
#
#   vcpkg install tessera --overlay-ports=<this tree>/packaging/vcpkg
#
# A port of a registry takes the place of SOURCE_PATH by vcpkg_from_github. Checked with vcpkg's own
# scripts of August 2026 (scripts/ports.cmake) and Highway 1.3.0 put where its port would put it, on
# x86-64 Linux: release and debug are built, and a project finds the package by vcpkg's toolchain file
# and runs. Not checked: the program vcpkg and what it does after the port, its Highway, other triplets.
vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DTESSERA_BUILD_BENCH=OFF
    -DTESSERA_BUILD_EXAMPLES=OFF
    -DTESSERA_BUILD_TESTS=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/tessera)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share"
  "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
