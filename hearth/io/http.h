// One HTTP request at a time, by libcurl, which http.cpp alone includes.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct HttpAnswer {
  int status = 0;        // 0: none came, and `fault` says why
  std::string fault;     // of the connection, also after a status: "transfer closed with ..."
  bool lasting = false;  // the same request again would end in the same fault: no address, ...
  std::map<std::string, std::string> headers;  // names in lower case

  std::string header(const std::string& name) const;  // "" where it is not there
};

struct HttpRequest {
  std::string url;                   // http or https
  std::vector<std::string> headers;  // "Range: bytes=5-"
  bool head = false;                 // the headers alone
};

/// Keeps its connections from one request to the next. Follows no redirect: whom the next request
/// may tell what is for its user to decide. A transfer that stands still for `patience_s` is a
/// fault.
class Http {
 public:
  explicit Http(int patience_s = 20);
  ~Http();
  /// Gets each piece of the body, when status and headers are known; false ends the request.
  using Take = std::function<bool(const HttpAnswer& so_far, std::string_view bytes)>;
  /// Asked at least once a second, also while nothing comes; false ends the request.
  using GoOn = std::function<bool()>;
  /// Throws what `take` and `go_on` throw, nothing else but std::bad_alloc.
  HttpAnswer send(const HttpRequest& request, const Take& take, const GoOn& go_on);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

/// Where a link of a page leads; "" where that is no address of http or https.
std::string resolve_url(const std::string& page, const std::string& link);

/// "https://huggingface.co:443": who gets what is sent to the address; "" where it is none.
std::string origin_of(const std::string& url);

/// Percent-encoded, but for letters, digits, "-._~" and what `kept` has.
std::string url_escape(std::string_view text, std::string_view kept = "");

/// Seconds that an answer's Retry-After asks to wait, given as such or as a date; nothing without.
std::optional<double> retry_after_s(const HttpAnswer& answer);

}  // namespace hearth
