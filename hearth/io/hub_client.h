// Requests to the Hugging Face Hub: who may see the token, what is tried again, what an error
// means.
#pragma once
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "hearth/io/http.h"

namespace hearth {

/// The user wants no more.
struct PullStopped : std::runtime_error {
  PullStopped() : std::runtime_error("stopped") {}
};

/// How often a request is tried again that fails for a reason that may pass: the network's, a
/// server's that is busy (429, 5xx). Counted anew whenever bytes came.
struct Retries {
  int most = 5;
  double first_wait_s = 0.5;  // doubled each time, unless the server names its own
};

class HubClient {
 public:
  /// Asked while something is waited for, with what that is ("" for the network); false: stop.
  using GoOn = std::function<bool(std::string_view waiting_for)>;
  HubClient(std::string endpoint, std::string token, Retries retries, GoOn go_on);

  /// The whole answer of an address that gives a text, or of a HEAD. Throws std::runtime_error
  /// beginning with `what` where it is not to be had; where it is not there (404), and that is
  /// `expected`, gives that answer.
  struct Text {
    std::string body;
    HttpAnswer answer;
  };
  Text read(const std::string& what, const std::string& url, bool head = false,
            bool expected_absent = false);

  /// One request, its redirects followed. The token goes to the endpoint's own origin alone.
  HttpAnswer send(HttpRequest request, const Http::Take& take);

  /// What one attempt came to.
  struct Attempt {
    bool done = false, progressed = false;
    std::string fault{};                // why not
    std::optional<double> wait_s = {};  // as the server asks
  };
  /// Until one is done; throws what the last one said when there were too many without progress.
  void persist(const std::string& what, const std::function<Attempt()>& once);
  /// Of an answer that is not the one hoped for: throws where another attempt is of no use.
  Attempt refused(const std::string& what, const HttpAnswer& answer, std::string_view body) const;

  /// Returns after so many seconds, or throws PullStopped.
  void wait(double seconds, std::string_view for_what);
  /// Throws PullStopped where the user wants no more.
  void check_going(std::string_view waiting_for = "");
  const std::string& endpoint() const { return endpoint_; }

 private:
  std::string endpoint_, origin_, token_;
  Retries retries_;
  GoOn go_on_;
  Http http_;
};

}  // namespace hearth
