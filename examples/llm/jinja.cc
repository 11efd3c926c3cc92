// SPDX-License-Identifier: MIT
#include "jinja.h"

#include "text.h"

#include <algorithm>

namespace llm::jinja {
namespace {

// Where a quotation that begins at `at` ends, behind its second mark.
size_t quotation_end(std::string_view text, size_t at) {
  const char mark = text[at++];
  while (at < text.size() && text[at] != mark) at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

// Where `end` stands outside of quotations, or the text's size.
size_t find_outside(std::string_view text, std::string_view end, size_t at) {
  while (at < text.size() && text.substr(at, end.size()) != end) {
    at = text[at] == '\'' || text[at] == '"' ? quotation_end(text, at) : at + 1;
  }
  return std::min(at, text.size());
}

Term term(std::string_view text) {
  Term out;
  text = trimmed(text);
  const bool quoted = text.starts_with('\'') || text.starts_with('"');
  if (quoted && text.size() > 1 && text.back() == text[0] &&
      quotation_end(text, 0) == text.size()) {
    out.literal = true;
    out.text = unescaped(text.substr(1, text.size() - 2));
    return out;
  }
  out.text = text;
  for (const char* mark : {"| trim", "|trim", ".strip()"}) {
    out.trims = out.trims || text.find(mark) != text.npos;
  }
  return out;
}

// The terms between + and ~ outside of brackets and quotations.
std::vector<Term> terms(std::string_view sum) {
  std::vector<Term> out;
  size_t begin = 0, depth = 0;
  for (size_t at = 0; at < sum.size();) {
    const char c = sum[at];
    if (c == '\'' || c == '"') {
      at = quotation_end(sum, at);
      continue;
    }
    if (c == '(' || c == '[') ++depth;
    if ((c == ')' || c == ']') && depth > 0) --depth;
    if ((c == '+' || c == '~') && depth == 0) {
      out.push_back(term(sum.substr(begin, at - begin)));
      begin = at + 1;
    }
    ++at;
  }
  out.push_back(term(sum.substr(begin)));
  return out;
}

}  // namespace

std::vector<Statement> statements(std::string_view source) {
  std::vector<Statement> out;
  for (size_t at = 0; (at = source.find('{', at)) != source.npos;) {
    const std::string_view open = source.substr(at, 2);
    if (open == "{#") {
      at = source.find("#}", at + 2);
      continue;
    }
    if (open != "{{" && open != "{%") {
      ++at;
      continue;
    }
    Statement s{at, {}, {}};
    const size_t end = find_outside(source, open == "{{" ? "}}" : "%}", at + 2);
    s.source = source.substr(at + 2, end - at - 2);
    at = end;
    if (s.source.starts_with('-') || s.source.starts_with('+')) s.source.remove_prefix(1);
    if (s.source.ends_with('-') || s.source.ends_with('+')) s.source.remove_suffix(1);
    s.source = trimmed(s.source);
    std::string_view sum = s.source;
    if (open == "{%") {
      const size_t equals = sum.find('=');
      if (!sum.starts_with("set ") || equals == sum.npos) continue;
      sum.remove_prefix(equals + 1);
    }
    s.terms = terms(sum);
    out.push_back(std::move(s));
  }
  return out;
}

}  // namespace llm::jinja
