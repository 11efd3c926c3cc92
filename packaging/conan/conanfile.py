# SPDX-License-Identifier: MIT
"""A Conan 2 recipe of the tree that it lies in:

    conan create packaging/conan --build=missing

The option `formats` compiles a few only, such as F32,Q4_K,Q6_K (TESSERA_FORMATS). Checked with Conan
2.34 on x86-64 Linux, with a recipe of Highway made by hand that has the names of Conan Center's: the
package is made, and its test package builds and runs. Not checked: Conan Center's own Highway, other
systems.
"""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir

required_conan_version = ">=2.1"


class Tessera(ConanFile):
    name = "tessera"
    description = "Matrix-multiply kernels for LLM inference on CPUs"
    license = "MIT"
    topics = ("matrix-multiplication", "simd", "llm", "quantization", "gguf")
    package_type = "static-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"formats": [None, "ANY"]}
    default_options = {"formats": None}

    @property
    def _root(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        text = load(self, os.path.join(self._root, "CMakeLists.txt"))
        self.version = re.search(r"project\(tessera VERSION ([0-9.]+)", text)[1]

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*"):
            copy(self, pattern, self._root, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        self.requires("highway/[>=1.2 <2]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def generate(self):
        deps = CMakeDeps(self)  # as Highway's own package names them
        deps.set_property("highway", "cmake_file_name", "hwy")
        deps.set_property("highway::hwy", "cmake_target_name", "hwy::hwy")
        deps.generate()
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCH"):
            toolchain.cache_variables[f"TESSERA_BUILD_{part}"] = False
        if self.options.formats:
            toolchain.cache_variables["TESSERA_FORMATS"] = str(self.options.formats)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        for folder in ("cmake", "pkgconfig"):  # Conan makes its own
            rmdir(self, os.path.join(self.package_folder, "lib", folder))
        rmdir(self, os.path.join(self.package_folder, "share"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "tessera")
        headers = self.cpp_info.components["headers"]
        headers.set_property("cmake_target_name", "tessera::tessera")
        headers.requires = ["highway::hwy"]
        headers.libdirs = []
        headers.defines = ["HWY_WANT_AVX3_DL"]
        if self.options.formats:
            headers.defines.append(f"TESSERA_FORMATS={self.options.formats}")
        impl = self.cpp_info.components["impl"]
        impl.set_property("cmake_target_name", "tessera::impl")
        impl.set_property("pkg_config_name", "tessera")
        impl.requires = ["headers"]
        impl.libs = ["tessera_impl"]
