// SPDX-License-Identifier: MIT
// What both kinds of tokenizers do with a stretch of text: join neighbours, the best pair first.
#ifndef TESSERA_EXAMPLES_LLM_MERGER_H_
#define TESSERA_EXAMPLES_LLM_MERGER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <queue>
#include <string_view>
#include <vector>

namespace llm {

/// Joins the characters of a text, n of them in O(n log n). `score(left, right, value)` says
/// whether two neighbours may be joined and, in `value`, how good that is: the best are joined
/// first, the leftmost of equals.
template <class Score>  // bool(std::string_view, std::string_view, double&)
class Merger {
 public:
  Merger(std::string_view text, const Score& score) : text_(text), score_(score) {
    // A character ends early where a byte does not continue it: half a one takes nothing along.
    constexpr uint8_t kLength[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    for (size_t at = 0; at < text.size(); at += symbols_.back().bytes) {
      const size_t length = kLength[static_cast<unsigned char>(text[at]) >> 4];
      const size_t most = std::min(length, text.size() - at);
      size_t end = at + 1;
      while (end < at + most && continues(text[end])) ++end;
      const size_t i = symbols_.size();
      symbols_.push_back({at, end - at, i > 0 ? i - 1 : kNone, i + 1});
    }
    for (size_t i = 1; i < symbols_.size(); ++i) offer(i - 1, i);
  }

  /// Calls take(text) for each of what remains.
  template <class Take>
  void run(const Take& take) {
    while (!pairs_.empty()) {
      const Pair pair = pairs_.top();
      pairs_.pop();
      Symbol &left = symbols_[pair.left], &right = symbols_[pair.right];
      // One of the two may have been joined elsewhere since: it is longer then, or empty.
      if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != pair.bytes) continue;
      left.bytes = pair.bytes;
      right.bytes = 0;
      left.next = right.next;
      if (right.next < symbols_.size()) symbols_[right.next].previous = pair.left;
      if (left.previous < symbols_.size()) offer(left.previous, pair.left);
      if (left.next < symbols_.size()) offer(pair.left, left.next);
    }
    for (size_t i = 0; i < symbols_.size(); i = symbols_[i].next) take(text(i));
  }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  struct Symbol {
    size_t begin, bytes;    // in the text
    size_t previous, next;  // outside the list: none
  };
  struct Pair {
    size_t left, right, bytes;
    double score;
    bool operator<(const Pair& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };

  static bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; }
  std::string_view text(size_t i) const {
    return text_.substr(symbols_[i].begin, symbols_[i].bytes);
  }
  void offer(size_t left, size_t right) {
    double score = 0.0;
    if (!score_(text(left), text(right), score)) return;
    pairs_.push({left, right, symbols_[left].bytes + symbols_[right].bytes, score});
  }

  std::string_view text_;
  const Score& score_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Pair> pairs_;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_MERGER_H_
