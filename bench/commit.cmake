# SPDX-License-Identifier: MIT
# Writes OUT, a header that names the commit being built. Run at each build, as configuring again
# is not what follows a commit.
execute_process(COMMAND git describe --always --dirty --exclude=* WORKING_DIRECTORY "${SOURCE}"
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
file(WRITE "${OUT}.new" "#define TESSERA_BENCH_COMMIT \"${commit}\"\n")
execute_process(COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${OUT}.new" "${OUT}")
