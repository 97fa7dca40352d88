#include "hearth/io/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <exception>
#include <new>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/base/trimmed.h"
#include "hearth/io/lower.h"

namespace hearth {

namespace {

/// libcurl, opened by the first request: it brings thirty libraries, which cost every start 3 ms.
struct Curl {
// clang-format off
#define HEARTH_CURL(X)                                                                       \
  X(global_init) X(easy_init) X(easy_cleanup) X(easy_reset) X(easy_setopt) X(easy_perform)   \
  X(easy_getinfo) X(easy_strerror) X(slist_append) X(slist_free_all) X(url) X(url_cleanup)   \
  X(url_set) X(url_get) X(free) X(getdate)
// clang-format on
#define X(name) decltype(&::curl_##name) name = nullptr;
  HEARTH_CURL(X)
#undef X

  Curl() {
    void* const library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    ensure(library, "http: libcurl.so.4 could not be opened; it is in Debian's package libcurl4");
#define X(name)                                                           \
  name = reinterpret_cast<decltype(name)>(dlsym(library, "curl_" #name)); \
  ensure(name, "http: libcurl has no curl_" #name);
    HEARTH_CURL(X)
#undef X
    ensure(global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "http: libcurl could not be started");
    CURL* const any = easy_init();
    const bool knows = any && easy_setopt(any, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    easy_cleanup(any);
    ensure(knows, "http: this libcurl is too old; version 7.85 or later is wanted");
  }
};
const Curl& curl() {
  static const Curl& opened = *new Curl;
  return opened;
}

/// The authorities' certificates. libcurl knows where its own distribution keeps them; the archive
/// that carries it runs on others.
const char* certificates() {
  for (const char* name : {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"})
    if (const char* file = setting(name)) return file;
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (::access(file, R_OK) == 0) return file;
  return nullptr;
}

bool lasting(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return true;
    default: return false;
  }
}

/// What the callbacks of one request share.
struct Exchange {
  CURL* handle;
  const Http::Take& take;
  const Http::GoOn& go_on;
  HttpAnswer answer{};
  bool headers_ended = false;
  std::exception_ptr thrown{};

  /// What `f` says; false, and the exception kept, where it throws: none may pass through C.
  template <class F>
  bool guarded(F&& f) {
    try {
      return f();
    } catch (...) {
      thrown = std::current_exception();
    }
    return false;
  }
};

size_t on_header(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  const bool good = exchange.guarded([&] {
    if (line.starts_with("HTTP/")) {  // after 100 Continue another one comes
      exchange.answer.headers.clear();
      exchange.headers_ended = false;
      return true;
    }
    exchange.headers_ended = trimmed(line).empty();
    const auto colon = line.find(':');
    if (colon == line.npos) return true;
    exchange.answer.headers[lower(trimmed(line.substr(0, colon)))] =
        trimmed(line.substr(colon + 1));
    return true;
  });
  return good ? size : 0;
}

size_t on_body(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  long status = 0;
  curl().easy_getinfo(exchange.handle, CURLINFO_RESPONSE_CODE, &status);
  exchange.answer.status = int(status);
  return exchange.guarded([&] { return exchange.take(exchange.answer, {data, size}); }) ? size : 0;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& exchange = *static_cast<Exchange*>(user);
  return exchange.guarded([&] { return exchange.go_on(); }) ? 0 : 1;
}

/// A parsed address, and its parts as text.
class Url {
 public:
  explicit Url(const std::string& text) : url_(curl().url()) {
    if (!url_) throw std::bad_alloc();
    valid_ = set(text);
  }
  ~Url() { curl().url_cleanup(url_); }
  Url(const Url&) = delete;
  bool set(const std::string& text) {
    return text.find('\0') == text.npos &&
           curl().url_set(url_, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  bool valid() const {
    const std::string scheme = part(CURLUPART_SCHEME);
    return valid_ && (scheme == "http" || scheme == "https");
  }
  std::string part(CURLUPart which) const {
    char* text = nullptr;
    if (curl().url_get(url_, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
    std::string out(text);
    curl().free(text);
    return out;
  }

 private:
  CURLU* url_;
  bool valid_ = false;
};

}  // namespace

struct Http::Handle {
  CURL* easy;
  int patience_s;
};

Http::Http(int patience_s) : handle_(new Handle{nullptr, patience_s}) {
  handle_->easy = curl().easy_init();
  if (!handle_->easy) throw std::bad_alloc();
}
Http::~Http() { curl().easy_cleanup(handle_->easy); }

HttpAnswer Http::send(const HttpRequest& request, const Take& take, const GoOn& go_on) {
  CURL* const easy = handle_->easy;
  Exchange exchange{easy, take, go_on};
  char why[CURL_ERROR_SIZE] = "";
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) {
    curl_slist* more = curl().slist_append(headers, header.c_str());
    if (!more) {
      curl().slist_free_all(headers);
      throw std::bad_alloc();
    }
    headers = more;
  }
  curl().easy_reset(easy);  // the options; connections stay
  curl().easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl().easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl().easy_setopt(easy, CURLOPT_NOBODY, long(request.head));
  curl().easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl().easy_setopt(easy, CURLOPT_USERAGENT, "hearth");
  curl().easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl().easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L << 10);
  curl().easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, long(handle_->patience_s));
  curl().easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl().easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, long(handle_->patience_s));
  curl().easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
  curl().easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl().easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl().easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl().easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl().easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl().easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl().easy_setopt(easy, CURLOPT_XFERINFODATA, &exchange);
  if (const char* file = certificates()) curl().easy_setopt(easy, CURLOPT_CAINFO, file);
  const CURLcode code = curl().easy_perform(easy);
  curl().slist_free_all(headers);
  curl().easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  HttpAnswer answer = std::move(exchange.answer);
  long status = 0;
  curl().easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  answer.status = int(status);
  if (code != CURLE_OK) {
    answer.fault = *why ? why : curl().easy_strerror(code);
    answer.lasting = lasting(code);
  } else if (!exchange.headers_ended) {  // which libcurl takes for an answer without a body
    answer.fault = "the connection ended within the headers";
  }
  return answer;
}

std::string HttpAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string resolve_url(const std::string& page, const std::string& link) {
  Url url(page);
  if (!url.valid() || link.empty() || !url.set(link) || !url.valid()) return "";
  return url.part(CURLUPART_URL);
}

std::string origin_of(const std::string& url) {
  const Url parsed(url);
  if (!parsed.valid()) return "";
  return parsed.part(CURLUPART_SCHEME) + "://" + lower(parsed.part(CURLUPART_HOST)) + ":" +
         parsed.part(CURLUPART_PORT);
}

std::string url_escape(std::string_view text, std::string_view kept) {
  constexpr std::string_view kPlain = "-._~", kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (word || kPlain.find(c) != kPlain.npos || kept.find(c) != kept.npos)
      out += c;
    else
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

std::optional<double> retry_after_s(const HttpAnswer& answer) {
  const std::string text = answer.header("retry-after");
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size() && seconds >= 0 && seconds < 1e9)
    return seconds;
  const std::time_t when = curl().getdate(text.c_str(), nullptr);
  if (when < 0) return std::nullopt;
  return std::max(0.0, std::difftime(when, std::time(nullptr)));
}

}  // namespace hearth
