# SPDX-License-Identifier: MIT
"""A header as Doxygen shall read it: the comment at its top is the file's, that behind a member is the
member's, indented lines at the top are code, and the inline namespace of the version does not show. Called with the file's name by Doxygen."""

import re
import sys

BEHIND_CODE = re.compile(r"^(\s*[^/\s].*[,;{}]\s*)// (?!NOLINT)(.*)$")


PARAGRAPH = re.compile(r" (Bits|NaN and Inf|Pointers|Words)\. ")  # begins one
TAG = re.compile(r"<(\w+)>")  # <name>, which would be HTML


def main() -> None:
    at_top, was_block = True, False
    for line in open(sys.argv[1], encoding="utf-8").read().splitlines():
        line = line.replace("namespace tessera::inline v0_1", "namespace tessera")
        if at_top and line.startswith("// SPDX"):
            line = "/// \\file"
        elif at_top and line.startswith("//"):
            comment = line[2:]
            if PARAGRAPH.match(comment):
                print("///")
            line = "///" + ("    " if comment.startswith("   ") else "") + TAG.sub(r"&lt;\1&gt;", comment)
        else:
            at_top = False
            line = re.sub(r"^typedef (struct|enum) \w+ \{$", lambda m: m[0].removeprefix("typedef "), line)
            line = re.sub(r"^\} tessera_\w+;$", "};", line)  # of a typedef struct, which C++ need not be told
            line = BEHIND_CODE.sub(r"\1///< \2", line)
        print(line)


if __name__ == "__main__":
    main()
