#include "hearth/io/hub_client.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/io/json.h"

namespace hearth {

namespace {

constexpr int kMostRedirects = 10;
constexpr size_t kMostText = 64 << 20;    // bytes of a listing
constexpr size_t kMostPassed = 64 << 10;  // of a redirect's body, which nobody reads
constexpr double kLongestWait = 600;      // seconds that a server may ask for
constexpr double kLongestOwnWait = 30;

bool redirects(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Seconds without a byte until a transfer counts as stuck.
int patience_s() {
  const char* set = setting("HF_HUB_DOWNLOAD_TIMEOUT");
  const int seconds = set ? std::atoi(set) : 0;
  return seconds > 0 ? seconds : 20;
}

/// The server's own words: the Hub's X-Error-Message, or {"error": "..."}.
std::string said_by(const HttpAnswer& answer, std::string_view body) {
  std::string said = answer.header("x-error-message");
  if (said.empty() && body.starts_with("{")) {
    const auto json = nlohmann::json::parse(body, nullptr, false);
    if (json.is_object() && json.contains("error") && json["error"].is_string())
      said = json["error"].get<std::string>();
  }
  return said.empty() ? "" : concat(" (it says ", in_quotes(said), ")");
}

}  // namespace

HubClient::HubClient(std::string endpoint, std::string token, Retries retries, GoOn go_on)
    : endpoint_(std::move(endpoint)),
      origin_(origin_of(endpoint_)),
      token_(std::move(token)),
      retries_(retries),
      go_on_(std::move(go_on)),
      http_(patience_s()) {
  ensure(!origin_.empty(), "HF_ENDPOINT: ", in_quotes(endpoint_),
         ", wanted an address such as https://huggingface.co");
}

void HubClient::check_going(std::string_view waiting_for) {
  if (go_on_ && !go_on_(waiting_for)) throw PullStopped();
}

void HubClient::wait(double seconds, std::string_view for_what) {
  using namespace std::chrono;
  const auto end = steady_clock::now() + duration<double>(seconds);
  do {
    check_going(for_what);
    std::this_thread::sleep_for(std::min<duration<double>>(end - steady_clock::now(), 50ms));
  } while (steady_clock::now() < end);
}

HttpAnswer HubClient::send(HttpRequest request, const Http::Take& take) {
  const std::vector<std::string> asked = request.headers;
  std::map<std::string, std::string> linked;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    request.headers = asked;
    if (!token_.empty() && origin_of(request.url) == origin_)
      request.headers.push_back("Authorization: Bearer " + token_);
    size_t passed = 0;
    HttpAnswer answer = http_.send(
        request,
        [&](const HttpAnswer& so_far, std::string_view bytes) {
          if (redirects(so_far.status)) return (passed += bytes.size()) < kMostPassed;
          return take(so_far, bytes);
        },
        [&] {
          check_going();
          return true;
        });
    if (!redirects(answer.status)) {
      answer.headers.merge(linked);
      return answer;
    }
    // What the Hub says of a file itself stands in its redirect to where the file lies.
    for (const char* name : {"x-linked-etag", "x-linked-size"})
      if (auto value = answer.header(name); !value.empty()) linked[name] = value;
    const std::string next = resolve_url(request.url, answer.header("location"));
    ensure(!next.empty(), request.url, ": redirects to ", in_quotes(answer.header("location")),
           ", which is no address");
    ensure(!request.url.starts_with("https:") || next.starts_with("https:"), request.url,
           ": redirects from https to ", in_quotes(next), ", which anybody could read and change");
    request.url = next;
  }
  ensure(false, request.url, ": more than ", kMostRedirects, " redirects");
  return {};
}

void HubClient::persist(const std::string& what, const std::function<Attempt()>& once) {
  double own_wait = retries_.first_wait_s;
  for (int failed = 0;;) {
    check_going();
    const Attempt attempt = once();
    if (attempt.done) return;
    if (attempt.progressed) {
      failed = 0;
      own_wait = retries_.first_wait_s;
    } else {
      ++failed;
    }
    ensure(failed <= retries_.most, what, ": ", attempt.fault, "; tried ", failed,
           failed == 1 ? " time" : " times", ". What came is kept: the same command goes on there");
    ensure(attempt.wait_s.value_or(0) <= kLongestWait, what, ": ", attempt.fault,
           "; the server asks to wait for ", attempt.wait_s.value_or(0), " s: come back then");
    if (attempt.wait_s) {
      wait(*attempt.wait_s, attempt.fault);
    } else if (!attempt.progressed) {
      wait(own_wait, attempt.fault);
      own_wait = std::min(2 * own_wait, kLongestOwnWait);
    }
  }
}

HubClient::Attempt HubClient::refused(const std::string& what, const HttpAnswer& answer,
                                      std::string_view body) const {
  const int status = answer.status;
  const bool busy = status == 408 || status == 425 || status == 429 || status >= 500;
  if (status == 0 || busy || (status >= 200 && status < 300)) {
    const std::string fault = status == 0 || (!busy && !answer.fault.empty())
                                  ? answer.fault
                                  : concat("the server answers ", status, said_by(answer, body));
    ensure(!answer.lasting, what, ": ", fault);
    return {.fault = fault, .wait_s = busy ? retry_after_s(answer) : std::nullopt};
  }
  const std::string code = answer.header("x-error-code");
  const std::string said = said_by(answer, body);
  const char* next = "";
  if (code == "GatedRepo" || (status == 403 && !token_.empty()))
    next = "; the Hub gives it to those alone who asked for it: see its page there";
  else if (status == 401 && !token_.empty())
    next = "; there is no such model, or the token (HF_TOKEN, hf auth login) does not open it";
  else if (status == 401 || status == 403)
    next =
        "; there is no such model, or it wants a token: set HF_TOKEN, or log in once by hf auth "
        "login";
  else if (code == "RevisionNotFound")
    next = "; there is no such revision";
  else if (status == 404)
    next = "; there is no such model, revision or file";
  ensure(false, what, ": ", endpoint_, " answers ", status, said, next);
  return {};
}

HubClient::Text HubClient::read(const std::string& what, const std::string& url, bool head,
                                bool expected_absent) {
  Text text;
  persist(what, [&]() -> Attempt {
    text.body.clear();
    text.answer = send({url, {}, head}, [&](const HttpAnswer&, std::string_view bytes) {
      ensure(text.body.size() + bytes.size() <= kMostText, what, ": the answer has more than ",
             kMostText >> 20, " MiB, which no listing has");
      text.body += bytes;
      return true;
    });
    const HttpAnswer& answer = text.answer;
    const bool whole = answer.fault.empty();
    if (whole && (answer.status == 200 || (answer.status == 404 && expected_absent)))
      return {.done = true};
    return refused(what, answer, text.body);
  });
  return text;
}

}  // namespace hearth
