#include "hearth/llm/batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/llm/decoder.h"
#include "hearth/llm/finite.h"
#include "hearth/llm/row_samplers.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAhead = 256;  // tokens of an answer that memory must be there for at its start

std::optional<size_t> free_bytes() {
  const Device device = default_device();
  return backend(device.type)->memory(device.index).room();
}

}  // namespace

/// A row from add() to its end.
struct Batcher::Row {
  Id id;
  Request request;        // but for the prompt, which is in
  std::vector<int> text;  // the prompt, and what was delivered
  int most;               // tokens of the answer
  int started = 0, given = 0;
  int read = 0;  // tokens that were read as a prompt, before or in this batcher
  bool over = false;
  // There was no room for it among the others: it waits with what it holds.
  bool aside = false;
  // Until its text is read:
  std::optional<KvCache> cache = {};
  std::optional<RowSamplers> samplers = {};
  double prefill_s = 0;
  std::optional<Speculator> speculator = {};

  int length_ahead() const { return int(text.size()) + std::min(most - given, kAhead); }
};

/// Rows that are decoded together.
struct Batcher::Group {
  struct Ahead {
    array ids;  // int32 (rows)
    std::vector<std::vector<Likely>> likely;
  };
  KvCache cache;
  std::vector<std::unique_ptr<Row>> rows;
  RowSamplers samplers;
  array ids;  // int32 (rows): the latest token of each
  std::optional<Decoder> decoder = {};
  std::deque<Ahead> ahead = {};  // started, not read
  bool closed = false;           // it is to change: nothing is started

  std::vector<int> wanted() const {
    std::vector<int> all;
    for (const auto& row : rows) all.push_back(row->over ? 0 : row->request.sampling.logprobs);
    return all;
  }
  /// A device decodes ahead of what the host has read; the CPU has nothing to gain. Nor has it
  /// where the logits of each step are looked at.
  size_t lead() const {
    const bool looks = std::ranges::any_of(
        rows, [](const auto& row) { return row->request.sampling.logprobs > 0; });
    return default_device() == Device(Device::cpu) || looks ? 0 : 2;
  }
};

/// Groups whose rows that go on become one group.
struct Batcher::Bin {
  std::vector<Group*> groups;
  size_t rows = 0;  // that go on
};

Batcher::Batcher(LanguageModel& model, const BatcherOptions& options)
    : model_(model), options_(options) {
  check(options.most_rows > 0, "generate: ", options.most_rows, " rows; wanted at least 1");
  check(options.prefill_chunk > 0 && options.prefill_chunk % 64 == 0, "generate: pieces of ",
        options.prefill_chunk, " tokens; wanted a multiple of 64");
  check(options.chunks_per_step > 0, "generate: ", options.chunks_per_step,
        " pieces of prompts a step; wanted at least 1");
}

Batcher::~Batcher() = default;

// ---- Rows come and go ----

void Batcher::check_prompt(const Request& request) const {
  const auto& facts = model_.facts;
  check(!request.prompt.empty(), "generate: the prompt has no tokens");
  check(request.prompt.size() <= size_t(facts.context_length), "generate: the prompt has ",
        request.prompt.size(), " tokens, the model's context is ", facts.context_length,
        "; shorten the prompt");
  for (const int id : request.prompt)
    check(id >= 0 && id < facts.vocab_size, "generate: token ", id, " is not in the vocabulary of ",
          facts.vocab_size);
  check(request.max_tokens > 0, "generate: ", request.max_tokens,
        " tokens asked; wanted at least 1");
  if (!request.begun) return;
  check(request.begun->length > 0 && size_t(request.begun->length) < request.prompt.size(),
        "generate: a state of ", request.begun->length, " tokens for a prompt of ",
        request.prompt.size(), "; wanted one of fewer");
  check_fits(model_.cache_shape(), *request.begun);
}

Batcher::Id Batcher::add(Request request) {
  check_prompt(request);
  auto row = std::make_unique<Row>(Row{next_id_, std::move(request), {}, 0});
  row->text = std::move(row->request.prompt);
  // The last token needs no room: its logits are never asked for.
  row->most =
      std::min(row->request.max_tokens, model_.facts.context_length - int(row->text.size()) + 1);
  if (row->request.draft.any()) row->speculator.emplace(model_, row->request.draft);
  check_memory(*row);
  row->samplers.emplace(std::make_unique<Sampler>(row->request.sampling, model_.facts.vocab_size,
                                                  std::vector<std::vector<int>>{row->text},
                                                  row->request.stop_ids));
  waiting_.push_back(std::move(row));
  return next_id_++;
}

bool Batcher::cancel(Id id) {
  const auto waits = std::ranges::find_if(waiting_, [&](const auto& row) { return row->id == id; });
  if (waits != waiting_.end()) return waiting_.erase(waits), true;
  if (beginning_ && beginning_->id == id && !beginning_->over) return beginning_->over = true;
  for (const auto& group : groups_)
    for (const auto& row : group->rows)
      if (row->id == id && !row->over) {
        row->over = true, crowded_ = false;
        if (!stepping_) drop_ended();
        return true;
      }
  return false;
}

bool Batcher::idle() const { return waiting_.empty() && groups_.empty(); }

std::vector<Batcher::Event> Batcher::step() {
  check(!stepping_, "generate: a step within a step");
  Events events;
  stepping_ = true;
  read_prompts(events);
  regroup(events);
  for (const auto& group : groups_) {
    const auto goes_on = [&] {
      for (size_t i = 0; i < group->rows.size(); ++i)
        if (!stays(*group, i)) return false;
      return !group->closed;
    };
    try {
      while (group->ahead.size() <= group->lead() && goes_on()) start(*group, events);
      read(*group, events);
    } catch (...) {
      for (const auto& row : group->rows) fail(*row, std::current_exception(), events);
    }
  }
  stepping_ = false;
  drop_ended();
  return events;
}

void Batcher::drop_ended() {
  std::erase_if(groups_, [](const auto& group) {
    return std::ranges::all_of(group->rows, [](const auto& row) { return row->over; });
  });
}

// ---- Memory ----

/// Of the rows that run, a while from now.
std::vector<int> Batcher::lengths_ahead() const {
  std::vector<int> all;
  for (const auto& group : groups_)
    for (const auto& row : group->rows)
      if (!row->over) all.push_back(row->length_ahead());
  return all;
}

void Batcher::check_memory(const Row& row) const {
  const int length = row.length_ahead();
  const size_t needed = model_.state_bytes({&length, 1}, options_.prefill_chunk);
  auto free = free_bytes();
  if (!free) return;
  for (const auto& group : groups_) *free += group->cache.nbytes();
  for (const auto& one : waiting_) *free += one->cache ? one->cache->nbytes() : 0;
  ensure(needed <= *free,
         fmt::format("generate: the state of a row of {} tokens needs {:.2f} GB, {:.2f} GB are "
                     "free: not one row fits; shorten the prompt, or ask for fewer tokens",
                     length, double(needed) / 1e9, double(*free) / 1e9));
}

// Beside the others, when all are copied to a group that holds it too, and when that grows: to half
// as much again, while the old memory is still read.
bool Batcher::has_room(const Row& row) const {
  std::vector<int> lengths = lengths_ahead();
  if (lengths.size() >= size_t(options_.most_rows)) return false;
  const auto free = free_bytes();
  const int length = row.length_ahead();
  size_t needed = model_.state_bytes({&length, 1}, options_.prefill_chunk);
  if (!lengths.empty()) {
    lengths.push_back(length);
    needed += model_.state_bytes(lengths) * 5 / 2;
  }
  return !free || needed <= *free;
}

// ---- Prompts ----

// Has the row a cache, or does it get one now?
bool Batcher::admit(Row& row, Events& events) {
  if (row.cache) return true;
  if (!has_room(row)) {
    if (!lengths_ahead().empty()) return false;  // one of those will end
    fail(row,
         std::make_exception_ptr(std::runtime_error(
             fmt::format("generate: the state of a row of {} tokens does not fit in the {:.2f} GB "
                         "that are free now",
                         row.text.size(), double(free_bytes().value_or(0)) / 1e9))),
         events);
    waiting_.pop_front();
    return !waiting_.empty() && admit(*waiting_.front(), events);
  }
  auto& begun = row.request.begun;
  row.cache.emplace(begun ? model_.make_cache(std::span(&*begun, 1)) : model_.make_cache());
  begun.reset();
  row.cache->expect(0, int(row.text.size()));
  return true;
}

void Batcher::read_prompts(Events& events) {
  for (int piece = 0; piece < options_.chunks_per_step && !waiting_.empty();) {
    try {
      if (!admit(*waiting_.front(), events)) return;
      Row& row = *waiting_.front();
      const auto start = Clock::now();
      const int at = row.cache->length(0), total = int(row.text.size());
      const int end = piece_end(at, total, options_.prefill_chunk);
      const array tokens(row.text.begin() + at, Shape{1, end - at}, int32);
      const array logits = model_.forward({tokens, {}, true}, *row.cache);  // (1, 1, vocab)
      logits.eval();
      row.prefill_s += std::chrono::duration<double>(Clock::now() - start).count();
      ++piece;
      if (end < total) {  // where a later prompt may go on otherwise
        if (row.request.keep_state) row.cache->mark(0);
        continue;
      }
      if (!std::exchange(row.aside, false)) row.read = total;
      auto whole = std::move(waiting_.front());
      waiting_.pop_front();
      begin(std::move(whole), reshape(logits, {1, logits.shape(2)}), events);
    } catch (...) {
      fail(*waiting_.front(), std::current_exception(), events);
      waiting_.pop_front();
    }
  }
}

// The text is read: the first token, and a group of one row.
void Batcher::begin(std::unique_ptr<Row> row, const array& logits, Events& events) {
  Row& r = *row;
  try {
    const array ids = (*r.samplers)(logits);
    eval(ids);
    ++r.started;
    const int wanted[] = {r.request.sampling.logprobs};
    beginning_ = &r;
    deliver(r, {ids.item<int>(), likely_of(logits, ids, wanted)[0]}, *r.cache, 0, events);
    beginning_ = nullptr;
    if (r.over) return;
    auto group =
        std::make_unique<Group>(Group{std::move(*r.cache), {}, std::move(*r.samplers), ids});
    r.cache.reset(), r.samplers.reset();
    group->rows.push_back(std::move(row));
    groups_.push_back(std::move(group));
  } catch (...) {
    beginning_ = nullptr;
    fail(r, std::current_exception(), events);
  }
}

// ---- Groups ----

// Is the row's next token one for the group to start?
bool Batcher::stays(const Group& group, size_t i) const {
  const Row& row = *group.rows[i];
  const int first = model_.facts.first_context;
  return !row.over && !row.aside && row.started < row.most &&
         !(first > 0 && group.cache.length(int(i)) == first);  // else it is read again
}

// Each group goes to the first that has room for what goes on of it; one that is to change starts
// nothing until all that it started is read.
void Batcher::regroup(Events& events) {
  std::vector<Bin> bins;
  for (const auto& group : groups_) {
    group->closed = false;
    size_t rows = 0;
    for (size_t i = 0; i < group->rows.size(); ++i) rows += stays(*group, i);
    const auto fits = std::ranges::find_if(bins, [&](const Bin& bin) {
      return !crowded_ && rows > 0 && bin.rows > 0 && bin.rows + rows <= size_t{kTogether};
    });
    Bin& bin = fits == bins.end() ? bins.emplace_back() : *fits;
    bin.groups.push_back(group.get());
    bin.rows += rows;
  }
  for (const Bin& bin : bins) {
    if (bin.groups.size() == 1 && bin.rows == bin.groups[0]->rows.size()) continue;
    const bool read =
        std::ranges::all_of(bin.groups, [](const Group* group) { return group->ahead.empty(); });
    if (!read) {
      for (Group* group : bin.groups) group->closed = true;
    } else if (!rebuild(bin.groups, events)) {
      crowded_ = true;  // each by itself, those that change
      for (Group* const group : bin.groups)
        for (size_t i = 0; i < group->rows.size(); ++i)
          if (!stays(*group, i)) {
            rebuild({&group, 1}, events);
            break;
          }
    }
  }
}

struct Batcher::Going {
  Group* group;
  size_t at;
};

// The groups' rows that go on become one group. Where memory has no room for a copy of all of them,
// groups stay apart (false: nothing has changed), and each row of a single one waits with what it
// holds: the group's memory is free then, and the oldest go on first.
bool Batcher::rebuild(std::span<Group* const> groups, Events& events) {
  std::vector<Going> going;
  for (Group* group : groups)
    for (size_t i = 0; i < group->rows.size(); ++i)
      if (stays(*group, i)) going.push_back({group, i});
  std::unique_ptr<Group> made;
  try {
    if (!going.empty()) made = joined(going);
  } catch (...) {
    if (groups.size() > 1) return false;
    for (const Going& one : going) one.group->rows[one.at]->aside = true;
    going.clear();
  }
  for (const Going& one : going) made->rows.push_back(std::move(one.group->rows[one.at]));
  for (Group* group : groups)
    for (size_t i = 0; i < group->rows.size(); ++i)
      if (group->rows[i] && !group->rows[i]->over) put_back(*group, i, events);
  std::erase_if(groups_, [&](const auto& group) {
    return std::ranges::find(groups, group.get()) != groups.end();
  });
  if (made) groups_.push_back(std::move(made));
  return true;
}

// What they hold is read where it lies.
std::unique_ptr<Batcher::Group> Batcher::joined(std::span<const Going> going) const {
  std::vector<RowSamplers::Row> picked;
  std::vector<RowState> states;
  Arrays ids;
  for (const auto& [group, at] : going) {
    picked.push_back({&group->samplers, int(at)});
    states.push_back(group->cache.view(int(at)));
    ids.push_back(slice(group->ids, {int(at)}, {int(at) + 1}));
  }
  RowSamplers samplers(picked);
  const array latest = copy(concatenate(ids, 0));
  eval(latest);
  return std::make_unique<Group>(Group{model_.make_cache(states), {}, std::move(samplers), latest});
}

// A row that its group cannot go on with: it outgrew its first context, and its text is read again,
// with other frequencies; or there is no room for it, and it waits with what it holds, so that its
// bits stay.
void Batcher::put_back(Group& group, size_t i, Events& events) {
  auto& row = group.rows[i];
  try {
    const RowSamplers::Row sampler{&group.samplers, int(i)};
    row->samplers.emplace(std::span(&sampler, 1));
    if (row->aside) row->request.begun = group.cache.take(int(i));
  } catch (...) {
    return fail(*row, std::current_exception(), events);
  }
  const bool half = !waiting_.empty() && waiting_.front()->cache;
  const auto place = std::find_if(waiting_.begin() + half, waiting_.end(),
                                  [&](const auto& waits) { return waits->id > row->id; });
  waiting_.insert(place, std::move(row));
}

// For an allocation that failed just now: the row waits until another ends, or ends with that error
// if it is alone.
void Batcher::leave_memory(Row& row, Events& events) {
  if (rows_running() > 1)
    row.aside = true;
  else
    fail(row, std::current_exception(), events);
}

void Batcher::start(Group& group, Events& events) {
  try {
    group.cache.reserve(1);
  } catch (...) {  // the youngest of all leaves its memory to the others
    Row* youngest = nullptr;
    for (const auto& one : groups_)
      for (const auto& row : one->rows)
        if (!row->over && !row->aside && (!youngest || row->id > youngest->id))
          youngest = row.get();
    group.closed = true;  // until then
    return leave_memory(*youngest, events);
  }
  if (speculate(group)) return;
  const auto begin = Clock::now();
  if (!group.decoder) group.decoder.emplace(model_, group.cache, group.samplers, group.ids);
  group.ids = group.decoder->step();
  for (const auto& row : group.rows) ++row->started;
  group.ahead.push_back({group.ids, likely_of(group.decoder->logits(), group.ids, group.wanted())});
  if (!group.rows[0]->speculator || group.rows.size() > 1) return;
  eval(group.ids);
  group.rows[0]->speculator->took(std::chrono::duration<double>(Clock::now() - begin).count());
}

// Rows that are decoded together use already what a drafted token would be computed by.
bool Batcher::speculate(Group& group) {
  Row& row = *group.rows[0];
  if (group.rows.size() > 1 || !row.speculator || !group.ahead.empty()) return false;
  const auto drawn =
      row.speculator->step(group.cache, row.text, row.most - row.started,
                           [&](const array& logits) { return group.samplers(logits); });
  if (drawn.empty()) return false;
  for (const auto& [id, logits] : drawn)
    group.ahead.push_back({id, likely_of(logits, id, group.wanted())});
  group.ids = drawn.back().id;
  group.decoder.reset();  // its recording is of another cache
  row.started += int(drawn.size());
  return true;
}

void Batcher::read(Group& group, Events& events) {
  if (group.ahead.empty()) return;
  auto [array_of_ids, likely] = std::move(group.ahead.front());
  group.ahead.pop_front();
  const std::vector<int> ids = array_of_ids.to_vector<int>();
  for (size_t i = 0; i < ids.size(); ++i)
    if (!group.rows[i]->over)
      deliver(*group.rows[i], {ids[i], std::move(likely[i])}, group.cache, int(i), events);
}

// ---- Ends ----

void Batcher::deliver(Row& row, NewToken token, KvCache& cache, int at, Events& events) {
  Event event{row.id, std::move(token)};
  const int id = event.token.id;
  if (row.given == 0) event.prefill_s = row.prefill_s;
  try {
    if (id < 0) fail_not_finite(model_, row.text, "generate");
    if (std::ranges::find(row.request.stop_ids, id) != row.request.stop_ids.end()) {
      event.end = End::stop_id;
    } else {
      row.text.push_back(id);
      ++row.given;
      const bool ends = row.request.until && row.request.until(event.token);
      if (row.over) return;  // cancelled by it
      event.end = ends ? End::caller : row.given == row.most ? End::length : End::none;
    }
    if (event.end != End::none && row.request.keep_state) {
      const int known = std::min(cache.length(at), int(row.text.size()));
      if (cache.can_truncate(at, known)) cache.truncate(at, known);  // what was started already
      event.state = first_tokens(model_.cache_shape(), cache.take(at), known);
      event.read_tokens = std::min(row.read, known);
    }
  } catch (...) {
    event.end = End::error;
    event.error = std::current_exception();
  }
  row.over = event.end != End::none;
  if (row.over) crowded_ = false;
  if (row.speculator) event.drafts = row.speculator->counts();
  events.push_back(std::move(event));
}

void Batcher::fail(Row& row, std::exception_ptr error, Events& events) {
  if (std::exchange(row.over, true)) return;
  crowded_ = false;
  events.push_back({row.id, {-1}, End::error, std::move(error)});
}

}  // namespace hearth::llm
