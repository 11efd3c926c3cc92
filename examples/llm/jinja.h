// SPDX-License-Identifier: MIT
// What a chat template writes: the sums of texts and values in the statements of a Jinja program.
// Nothing is run; conditions and loops are passed over.
#ifndef TESSERA_EXAMPLES_LLM_JINJA_H_
#define TESSERA_EXAMPLES_LLM_JINJA_H_

#include <string>
#include <string_view>
#include <vector>

namespace llm::jinja {

/// One term of a sum.
struct Term {
  std::string text;      // of a literal what it stands for, of a value its expression
  bool literal = false;  // else a value
  bool trims = false;    // a value without the blanks around it
};

/// {{ a + b }} or {% set name = a + b %}
struct Statement {
  size_t begin = 0;         // in the template
  std::string_view source;  // without the braces
  std::vector<Term> terms;
};

/// The statements of a template that write or set something, in their order.
std::vector<Statement> statements(std::string_view source);

}  // namespace llm::jinja

#endif  // TESSERA_EXAMPLES_LLM_JINJA_H_
