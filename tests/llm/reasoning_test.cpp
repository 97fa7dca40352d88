#include "hearth/llm/reasoning.h"

#include <gtest/gtest.h>

namespace hearth::llm {
namespace {

// The answer in pieces of every size gives the same two texts.
std::pair<std::string, std::string> split(const std::string& answer,
                                          const std::string& prompt_end = "") {
  std::pair<std::string, std::string> whole;
  for (size_t size = 1; size <= answer.size() + 1; ++size) {
    ReasoningSplitter splitter(prompt_end);
    std::pair<std::string, std::string> out;
    const auto take = [&](const std::vector<ReasoningSplitter::Part>& parts) {
      for (const auto& part : parts) (part.reasoning ? out.first : out.second) += part.text;
    };
    for (size_t at = 0; at < answer.size(); at += size)
      take(splitter.push(answer.substr(at, size)));
    take(splitter.finish());
    if (size == 1) whole = out;
    EXPECT_EQ(out, whole) << answer << " in pieces of " << size;
  }
  return whole;
}
using Two = std::pair<std::string, std::string>;

TEST(Reasoning, IsTakenFromTheAnswer) {
  EXPECT_EQ(split("Hello <b>"), Two("", "Hello <b>"));
  EXPECT_EQ(split("<think>\nhm, 2 < 3\n</think>\n\nYes."), Two("hm, 2 < 3", "Yes."));
  EXPECT_EQ(split("[THINK]hm[/THINK]Yes."), Two("hm", "Yes."));
  EXPECT_EQ(split("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final"
                  "<|message|>Yes."),
            Two("hm", "Yes."));
  EXPECT_EQ(split("<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>"),
            Two("hm", "Yes."));
  EXPECT_EQ(split("<|channel>thought\nhm<channel|>Yes."), Two("hm", "Yes."));
}

TEST(Reasoning, MayBeOpenedByThePrompt) {
  EXPECT_EQ(split("hm\n</think>\nYes.", "<|im_start|>assistant\n<think>\n"), Two("hm", "Yes."));
  EXPECT_EQ(split("Yes.", "<think>\n\n</think>\n\n"), Two("", "Yes."));
  EXPECT_EQ(split("never ends", "<think>"), Two("never ends", ""));
}

TEST(Reasoning, WhatOnlyLooksLikeAMarkerIsText) {
  EXPECT_EQ(split("a <thin b"), Two("", "a <thin b"));
  EXPECT_EQ(split("a <think"), Two("", "a <think"));
  EXPECT_EQ(split("x</think>"), Two("", "x</think>"));
  EXPECT_EQ(split("<think>a</thin></think>b"), Two("a</thin>", "b"));
  EXPECT_EQ(split("\n\nfirst\n\nsecond\n"), Two("", "\n\nfirst\n\nsecond\n"));
}

TEST(Reasoning, KnowsTheTokensThatMarkIt) {
  EXPECT_TRUE(ReasoningSplitter::marks("<|channel|>"));
  EXPECT_TRUE(ReasoningSplitter::marks("<|message|>"));
  EXPECT_TRUE(ReasoningSplitter::marks("[/THINK]"));
  EXPECT_FALSE(ReasoningSplitter::marks("<|im_end|>"));
  EXPECT_FALSE(ReasoningSplitter::marks("</s>"));
  EXPECT_FALSE(ReasoningSplitter::marks(""));
}

}  // namespace
}  // namespace hearth::llm
