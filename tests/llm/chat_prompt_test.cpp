// What of a conversation a model is given when not all of it fits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/llm/chat.h"
#include "tests/paths.h"

namespace hearth::llm {
namespace {

using ::testing::HasSubstr;

class ChatPrompt : public ::testing::Test {
 protected:
  const std::filesystem::path folder = testing::source_dir() / "models/tiny-phi";
  std::unique_ptr<LanguageModel> model = load_model(folder);
  Tokenizer tokenizer = Tokenizer::load(folder);
  Chat chat{*model, tokenizer, std::nullopt};
  const int context = model->facts.context_length;  // 512

  void say(const std::string& role, const std::string& first, int words) {
    std::string text = first;
    for (int i = 0; i < words; ++i) text += " cat";
    chat.messages.push_back({role, text});
  }
};

bool begins(const std::vector<int>& all, const std::vector<int>& with) {
  return all.size() >= with.size() && std::equal(with.begin(), with.end(), all.begin());
}

TEST_F(ChatPrompt, WhatWasDroppedStaysSoThatTheRestGoesOn) {
  say("system", "Tell", 5);
  int drops = 0, goes_on = 0;
  std::vector<int> before;
  for (int turn = 0; turn < 40; ++turn) {
    say("user", "Question " + std::to_string(turn), 20);
    const auto prompt = chat.prompt(100);
    EXPECT_LE(int(prompt.ids.size()), context - 100);
    EXPECT_THAT(tokenizer.decode(prompt.ids), HasSubstr("Question " + std::to_string(turn)));
    EXPECT_THAT(tokenizer.decode(prompt.ids), HasSubstr("Tell"));  // the system's never goes
    EXPECT_EQ(prompt.dropped % 2, 0u);                             // whole turns
    EXPECT_GE(prompt.dropped, chat.dropped);
    drops += prompt.dropped > chat.dropped;
    goes_on += begins(prompt.ids, before);
    chat.dropped = prompt.dropped, before = prompt.ids;
    say("assistant", "Answer", 20);
  }
  EXPECT_GT(drops, 2);
  EXPECT_LT(drops, 15);
  EXPECT_EQ(goes_on + drops, 40);
}

TEST_F(ChatPrompt, WhatFitsAgainIsSeenAgain) {
  for (int turn = 0; turn < 10; ++turn) {
    say("user", "Question", 30);
    say("assistant", "Answer", 30);
  }
  say("user", "Last", 1);
  chat.dropped = chat.prompt(100).dropped;
  EXPECT_GT(chat.dropped, 4u);
  chat.messages.erase(chat.messages.begin() + 4, chat.messages.end() - 1);
  EXPECT_EQ(chat.prompt(100).dropped, 0u);
}

// As after /load: what an earlier conversation had dropped says nothing of this one.
TEST_F(ChatPrompt, AnotherConversationIsCutAnew) {
  chat.dropped = 30;
  say("user", "Old", 200);
  say("assistant", "Answer", 200);
  say("user", "New", 5);
  const auto prompt = chat.prompt(200);
  EXPECT_EQ(prompt.dropped, 2u);
  EXPECT_LT(prompt.ids.size(), 100u);
  EXPECT_THAT(tokenizer.decode(prompt.ids), HasSubstr("New"));
}

TEST_F(ChatPrompt, AMessageAloneIsNeverDropped) {
  say("user", "Old", 10);
  say("assistant", "Answer", 10);
  say("user", "Long", 450);  // leaves less than was asked for the answer
  const auto prompt = chat.prompt(100);
  EXPECT_EQ(prompt.dropped, 2u);
  EXPECT_GT(int(prompt.ids.size()), context - 100);
  chat.messages.back().content += chat.messages.back().content;
  EXPECT_THROW(chat.prompt(100), std::runtime_error);
}

}  // namespace
}  // namespace hearth::llm
