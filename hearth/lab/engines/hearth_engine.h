// hearth as an engine of the lab: it answers the requests of docs/engines.md.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace hearth::lab {

class HearthEngine {
 public:
  /// `commit` of its source; "" where that is not known.
  HearthEngine(std::string version, std::string commit);
  ~HearthEngine();

  using Send = std::function<void(std::string_view line)>;
  /// Answers a line by lines, the last of which is the answer or the error; false to "bye". Throws
  /// std::runtime_error for what is not a request.
  bool answer(std::string_view line, const Send& send);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::lab
