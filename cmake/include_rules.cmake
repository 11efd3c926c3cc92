# SPDX-License-Identifier: MIT
# Run as `cmake -D ROOT=<repository> -P include_rules.cmake`: checks by regular expression that
# includes only go downhill, that every source file names its licence, and that a header over 400
# lines says why. Prints every offence, then fails.
cmake_minimum_required(VERSION 3.24)
set(failures 0)

function(offence file text)
  message(NOTICE "${file}: ${text}")
  math(EXPR failures "${failures} + 1")
  set(failures ${failures} PARENT_SCOPE)
endfunction()

# check(<file> <what it is> <its text> ONLY <regex> NEVER <regex>): an include of ours
# ("tessera/...") must match ONLY, and no include may match NEVER.
function(check file role text)
  cmake_parse_arguments(PARSE_ARGV 3 rule "" "ONLY;NEVER" "")
  string(REGEX MATCHALL "#[ \t]*include[ \t]*[<\"][^>\"\n]+" includes "${text}")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "^[^<\"]*[<\"]" "" include "${include}")
    if(include MATCHES "^tessera/" AND DEFINED rule_ONLY AND NOT include MATCHES "${rule_ONLY}")
      offence("${file}" "${role} may not include ${include}")
    elseif(DEFINED rule_NEVER AND include MATCHES "${rule_NEVER}")
      offence("${file}" "${role} may not include ${include}")
    endif()
  endforeach()
  set(failures ${failures} PARENT_SCOPE)
endfunction()

# The public headers, layer by layer: base, core and format, plan, simd, impl.
set(plain "^tessera/(base|core|format)/")
set(not_for_simd "^(thread|vector|iostream)$")
file(GLOB_RECURSE headers RELATIVE "${ROOT}/include/tessera" "${ROOT}/include/tessera/*.h")
foreach(header IN LISTS headers)
  set(file "include/tessera/${header}")
  file(READ "${ROOT}/${file}" text)

  string(LENGTH "${text}" with)
  string(REPLACE "\n" "" one_line "${text}")
  string(LENGTH "${one_line}" without)
  math(EXPR lines "${with} - ${without}")
  if(lines GREATER 400 AND NOT text MATCHES "over 400 lines:")
    offence(${file} "has ${lines} lines and no line with \"over 400 lines:\" and the reason")
  endif()

  # Whoever includes one of these chooses to: a program for impl.h, an example for thread_pool.h.
  check(${file} "a header" "${text}" NEVER "^tessera/(impl|thread_pool)\\.h$")

  if(header MATCHES "^base/")
    check(${file} "base/" "${text}" ONLY "^tessera/base/" NEVER "^hwy/")
  elseif(header MATCHES "^(core|format)/")
    # What follows the first mention of this macro is compiled once per target, inside Highway.
    string(FIND "${text}" "defined(TESSERA_SIMD_PASS)" split)
    if(header MATCHES "^format/" AND NOT split EQUAL -1)
      string(SUBSTRING "${text}" ${split} -1 per_target)
      string(SUBSTRING "${text}" 0 ${split} text)
      check(${file} "the per-target part of format/" "${per_target}"
            ONLY "^tessera/((base|core|format|simd)/|plan/(tuning|kernel|plan|geometry)\\.h)" NEVER "${not_for_simd}")
    endif()
    check(${file} "core/ and the plain part of format/" "${text}" ONLY "${plain}" NEVER "^hwy/")
  elseif(header MATCHES "^plan/" OR header MATCHES "^(tessera|blas|cblas|c_api|c_products|c_weights|thread_pool|usable_cpus)\\.h$")
    check(${file} "the plain API" "${text}" NEVER "^hwy/|^tessera/(simd/|impl/|impl\\.h)")
  elseif(header MATCHES "^simd/")
    check(${file} "simd/" "${text}"
          ONLY "^tessera/((base|core|format|simd)/|plan/(tuning|kernel|plan|geometry)\\.h)" NEVER "${not_for_simd}")
  elseif(NOT header MATCHES "^impl/|^impl\\.h$")
    offence(${file} "belongs to no layer that cmake/include_rules.cmake knows")
  endif()
endforeach()

# Headers elsewhere (tests/, examples/, bench/): the bodies are for .cc files.
file(GLOB_RECURSE headers RELATIVE "${ROOT}"
     "${ROOT}/tests/*.h" "${ROOT}/examples/*.h" "${ROOT}/bench/*.h")
foreach(file IN LISTS headers)
  file(READ "${ROOT}/${file}" text)
  check(${file} "a header" "${text}" NEVER "^tessera/impl[/.]")
endforeach()

# The licence.
set(sources bootstrap .ci/run docs/build docs/Doxyfile .clang-format .clang-tidy .gitignore CMakeLists.txt
    README.md CONTRIBUTING.md CHANGELOG.md)
foreach(folder include cblas tests examples bench cmake packaging docs)
  foreach(pattern *.h *.cc *.c *.cmake CMakeLists.txt *.py *.sh *.in *.map)
    file(GLOB_RECURSE found RELATIVE "${ROOT}" "${ROOT}/${folder}/${pattern}")
    list(APPEND sources ${found})
  endforeach()
endforeach()
file(GLOB_RECURSE found RELATIVE "${ROOT}" "${ROOT}/docs/*.md")
list(APPEND sources ${found})
foreach(file IN LISTS sources)
  file(STRINGS "${ROOT}/${file}" spdx LIMIT_COUNT 1 REGEX "SPDX-License-Identifier: MIT")
  if(NOT spdx)
    offence(${file} "has no line \"SPDX-License-Identifier: MIT\"")
  endif()
endforeach()

list(LENGTH sources count)
if(failures GREATER 0)
  message(FATAL_ERROR "${failures} offences against the rules of cmake/include_rules.cmake")
endif()
message(NOTICE "${count} files keep the rules")
