// Order, lower, run, record: the only scheduler. One lock is held while a graph is scheduled, none
// while it computes.
#include "hearth/core/eval.h"

#include <map>
#include <mutex>

#include "hearth/base/listed.h"
#include "hearth/base/system.h"
#include "hearth/core/allocate.h"
#include "hearth/core/available.h"
#include "hearth/core/backend.h"
#include "hearth/core/work.h"

namespace hearth {

thread_local int TracingScope::depth_ = 0;

namespace {

using Status = Node::Status;
bool scheduled(const Node& n) {
  return n.status.load(std::memory_order_acquire) == Status::scheduled;
}

// Computed in a TracingScope of this thread, inputs first; their edges are kept.
thread_local std::vector<Ref<Node>> traced;

// Drops those that nobody else holds: from the last on, which may be all that holds the others.
void drop_dead_traced() {
  for (size_t i = traced.size(); i-- > 0;)
    if (traced[i]->refs() == 1) traced[i] = {};
  std::erase(traced, Ref<Node>());
}

// What was computed needs neither its inputs nor the other outputs of its operation.
void forget(Node& n) {
  n.op.reset();
  n.inputs.clear();
  n.more.clear();
}

struct Counters {
  std::atomic<uint64_t> kernels{0}, fallbacks{0}, missed_donations{0};
} counters;

class Scheduler {
 public:
  std::mutex mutex;

  void schedule(std::span<const array> outputs) {
    try {
      schedule_all(outputs);
    } catch (...) {
      submit_open();  // what was scheduled before the error still runs: others may wait for it
      throw;
    }
    submit_open();
  }
  /// The queues that the last schedule gave work to.
  std::vector<Queue*> used;

  /// Schedules without submitting; the one batch that has all the work, and its queue.
  std::pair<Queue*, Batch> take(std::span<const array> outputs) {
    used.clear();
    try {
      schedule_all(outputs);
    } catch (...) {
      submit_open();
      throw;
    }
    if (open_.size() != 1 || !used.empty()) {
      submit_open();  // nothing is left half done: it runs once, as usual
      ensure(false, "Recording: the computation uses several streams");
    }
    std::pair<Queue*, Batch> only{open_[0].queue, std::move(open_[0].batch)};
    open_.clear();
    return only;
  }

  Queue& queue(Stream s) {
    const auto key = std::tuple(s.device.type, s.device.index, s.index);
    auto found = queues_.find(key);
    if (found == queues_.end()) {
      check_available(s.device, "eval");
      found = queues_.emplace(key, backend(s.device.type)->queue(s)).first;
    }
    return *found->second;
  }
  /// When all that the queues of a type of device were given is done.
  std::vector<Event> ends(Device::DeviceType type) {
    std::vector<Event> all;
    for (auto& [key, q] : queues_)
      if (std::get<0>(key) == type) {
        all.push_back(Event(new EventState(q.get())));
        q->submit({{}, {}, all.back()});
      }
    return all;
  }
  std::string fallback_report() const {
    std::string text;
    for (auto& [what, count] : fallbacks_) text += concat(what, ": ", count, "\n");
    return text;
  }

 private:
  // Unscheduled nodes that `outputs` need, inputs first.
  std::vector<Node*> order(std::span<const array> outputs) {
    const uint64_t mark = ++mark_;
    std::vector<Node*> done;
    std::vector<std::pair<Node*, size_t>> path;  // a node and how many of its inputs were visited
    auto visit = [&](const array& a) {
      Node& n = a.node();
      if (n.mark == mark || scheduled(n)) return;
      n.mark = mark;
      path.emplace_back(&n, 0);
    };
    for (const array& out : outputs) {
      visit(out);
      while (!path.empty()) {
        auto& [node, next] = path.back();
        if (next < node->inputs.size()) {
          visit(node->inputs[next++]);
        } else {
          done.push_back(node);
          path.pop_back();
        }
      }
    }
    return done;
  }

  void schedule_all(std::span<const array> outputs) {
    for (Node* n : order(outputs)) schedule_one(*n);
  }

  void schedule_one(Node& n) {
    if (n.output > 0) {
      alias(n, n.more[0]);
      return finish(n);
    }
    const Primitive& op = *n.op;
    if (n.inputs.size() == 1) {
      Node& in = n.inputs[0].node();
      if (auto view = op.view(in.view())) {
        n.strides = std::move(view->strides), n.offset = view->offset;
        n.storage = in.storage, n.event = in.event;
        return finish(n);
      }
    }
    const Device device = n.stream.device;
    Backend* b = backend(device.type);
    Stream stream = n.stream;
    Kernel kernel = b ? b->kernels.find(op, n.inputs) : nullptr;
    if (!kernel) {
      if (auto simpler = decompose(n)) {
        schedule_all(*simpler);
        alias(n, (*simpler)[0]);
        for (size_t i = 0; i < n.more.size(); ++i) alias(n.more[i].node(), (*simpler)[i + 1]);
        return finish(n);
      }
      if (device.type != Device::cpu) {
        const char* strict_set = setting("HEARTH_STRICT_DEVICE");
        const bool strict = strict_set && std::string_view(strict_set) != "0";
        ensure(!strict, op.name(), ": no kernel on ", device,
               ", and HEARTH_STRICT_DEVICE forbids the CPU");
        stream = {n.stream.index, Device::cpu};
        kernel = backend(Device::cpu)->kernels.find(op, n.inputs);
        counters.fallbacks.fetch_add(1, std::memory_order_relaxed);
        ++fallbacks_[concat(op.name(), " on ", device)];
      }
      ensure(kernel, op.name(), ": no kernel on ", stream.device, " for ", describe(op, n.inputs));
    }
    emit(n, kernel, stream);
    finish(n);
  }

  static std::optional<Arrays> decompose(Node& n) {
    StreamScope scope(n.stream);
    return n.op->decompose(Arrays(n.inputs.begin(), n.inputs.end()));
  }
  static std::string describe(const Primitive& op, std::span<const array> in) {
    std::vector<std::string> inputs;
    for (const array& x : in) inputs.push_back(concat(x.dtype(), " ", x.shape()));
    const std::string text = listed(inputs), parameters = op.parameters();
    return parameters.empty() ? text : concat(text, "; ", parameters);
  }
  static void alias(Node& n, const array& to) {
    const Node& t = to.node();
    n.strides = t.strides, n.offset = t.offset, n.storage = t.storage, n.event = t.event;
  }
  static void finish(Node& n) {
    for (array& more : n.more)
      more.node().status.store(Status::scheduled, std::memory_order_release);
    n.status.store(Status::scheduled, std::memory_order_release);
    if (n.tracer && TracingScope::active())
      traced.emplace_back(&n);
    else
      forget(n);
  }

  struct Open {
    Queue* queue;
    Batch batch;
  };
  Open& open(Queue& queue) {
    for (Open& o : open_)
      if (o.queue == &queue) return o;
    open_.push_back({&queue, {{}, {}, Event(new EventState(&queue))}});
    return open_.back();
  }
  void submit(Queue& queue) {
    for (size_t i = 0; i < open_.size(); ++i)
      if (open_[i].queue == &queue) {
        queue.submit(std::move(open_[i].batch));
        open_.erase(open_.begin() + long(i));
        if (std::find(used.begin(), used.end(), &queue) == used.end()) used.push_back(&queue);
        return;
      }
  }
  void submit_open() {
    while (!open_.empty()) submit(*open_.back().queue);
  }

  void emit(Node& n, Kernel kernel, Stream stream) {
    Queue& q = queue(stream);
    // Batches wait at their start only: an input from another queue begins a new one.
    std::vector<Event> after;
    for (const array& x : n.inputs) {
      const Event& e = x.node().event;
      if (!e || e->queue == &q || e->done.load(std::memory_order_acquire)) continue;
      submit(*e->queue);
      after.push_back(e);
    }
    if (!after.empty()) {
      if (!open(q).batch.work.empty()) submit(q);
      auto& all = open(q).batch.after;
      all.insert(all.end(), after.begin(), after.end());
    }
    Batch& batch = open(q).batch;
    Work work{kernel, n.op, n.inputs, {}};
    for (const array& x : n.inputs) x.node().readers.fetch_add(1, std::memory_order_relaxed);
    auto add_output = [&](Node& out, int i) {
      const int into = n.op->writes_into(i);
      if (into >= 0) {
        alias(out, n.inputs[into]);
      } else {
        out.strides = row_major(out.shape);
        out.storage = Ref<Storage>(new Storage);
        out.storage->owner = &q.allocator();
      }
      out.event = batch.done;
      work.out.push_back(array(Ref<Node>(&out)));
    };
    add_output(n, 0);
    for (size_t i = 0; i < n.more.size(); ++i) add_output(n.more[i].node(), int(i) + 1);
    batch.work.push_back(std::move(work));
    counters.kernels.fetch_add(1, std::memory_order_relaxed);
  }

  uint64_t mark_ = 0;
  std::vector<Open> open_;
  std::map<std::tuple<Device::DeviceType, int, int>, std::unique_ptr<Queue>> queues_;
  std::map<std::string, uint64_t> fallbacks_;
};

// Never destroyed: queues may still be busy when the process ends.
Scheduler& scheduler() {
  static Scheduler& s = *new Scheduler;
  return s;
}

std::vector<Queue*> start(std::span<const array> outputs) {
  drop_dead_traced();
  Scheduler& s = scheduler();
  std::lock_guard lock(s.mutex);
  s.used.clear();
  s.schedule(outputs);
  return s.used;
}

}  // namespace

void forget_traced() {
  const auto nodes = std::exchange(traced, {});
  for (const Ref<Node>& n : nodes) forget(*n);
}

void eval(std::span<const array> outputs) {
  bool all = true;
  for (const array& a : outputs) all = all && scheduled(a.node());
  if (!all) {
    // One queue runs on the thread that waits, below; several need their own threads.
    const auto used = start(outputs);
    if (used.size() > 1)
      for (Queue* q : used) q->flush();
  }
  for (const array& a : outputs)
    if (const Event& e = a.node().event; e && !e->done.load(std::memory_order_acquire))
      e->queue->wait(e);
  for (const array& a : outputs)
    if (a.node().storage->error) std::rethrow_exception(a.node().storage->error);
}
void eval(const Arrays& outputs) { eval(std::span<const array>(outputs)); }

void async_eval(std::span<const array> outputs) {
  for (Queue* q : start(outputs)) q->flush();
}
void async_eval(const Arrays& outputs) { async_eval(std::span<const array>(outputs)); }

namespace {

// The program's place in a queue: one piece of work without inputs or outputs.
struct Recorded : PrimitiveWithFields<Recorded> {
  explicit Recorded(std::shared_ptr<Program> program)
      : PrimitiveWithFields(-1), program(std::move(program)) {}
  HEARTH_FIELDS(program)
  std::string_view name() const override { return "recording"; }
  Specs infer(std::span<const array>) const override { return {}; }
  static void start(const Primitive& op, const Args&, Queue& queue) {
    static_cast<const Recorded&>(op).program->start(queue);
  }
  std::shared_ptr<Program> program;
};

// The same of a task.
struct Task : PrimitiveWithFields<Task> {
  explicit Task(std::function<void()> run) : PrimitiveWithFields(-2), run(std::move(run)) {}
  HEARTH_FIELDS()
  std::string_view name() const override { return "task"; }
  Specs infer(std::span<const array>) const override { return {}; }
  static void start(const Primitive& op, const Args&, Queue&) {
    static_cast<const Task&>(op).run();
  }
  std::function<void()> run;
};

}  // namespace

void enqueue(Stream stream, std::function<void()> task) {
  check(stream.device.type == Device::cpu, "enqueue: ", stream, " is no stream of a CPU");
  check(bool(task), "enqueue: the task is empty");
  Queue* queue;
  {
    std::lock_guard lock(scheduler().mutex);
    queue = &scheduler().queue(stream);
    Batch batch{{}, {}, Event(new EventState(queue))};
    batch.work.push_back({Task::start, std::make_shared<Task>(std::move(task)), {}, {}});
    queue->submit(std::move(batch));
  }
  queue->flush();
}

Recording::Recording(const Arrays& outputs) : outputs_(outputs) {
  Batch batch;
  {
    std::lock_guard lock(scheduler().mutex);
    std::tie(queue_, batch) = scheduler().take(outputs);
  }
  for (const Event& e : batch.after) e->queue->wait(e);
  const Event idle(new EventState(queue_));
  queue_->submit({{}, {}, idle});
  queue_->wait(idle);
  batch.done->started = 1, batch.done->done = 1;  // of the outputs: they wait for no event
  Arrays made;
  for (const Work& w : batch.work) {
    for (size_t i = 0; i < w.out.size(); ++i)
      if (w.op->writes_into(int(i)) < 0) made.push_back(w.out[i]);
    for (const array& x : w.in) x.node().readers.fetch_sub(1, std::memory_order_relaxed);
  }
  try {
    for (const Work& w : batch.work)
      if (const auto error = error_of(w.in)) std::rethrow_exception(error);
    // What is empty has nothing to run.
    std::erase_if(batch.work, [&](Work& w) {
      bool any = false;
      for (const array& out : w.out) any = any || out.size() > 0;
      if (!any) prepare(w, *queue_, false);
      return !any;
    });
    program_ = queue_->program(std::move(batch.work));
  } catch (...) {
    for (const array& out : made) out.node().storage->error = std::current_exception();
    throw;
  }
}

void Recording::run() {
  std::lock_guard lock(scheduler().mutex);
  Batch batch{{}, {}, Event(new EventState(queue_))};
  batch.work.push_back({Recorded::start, std::make_shared<Recorded>(program_), {}, {}});
  queue_->submit(std::move(batch));
}

void place(std::span<const array> arrays, Device device) {
  eval(arrays);
  Queue* queue;
  {
    std::lock_guard lock(scheduler().mutex);
    queue = &scheduler().queue(default_stream(device));
  }
  for (const array& a : arrays) {
    Storage& storage = *a.node().storage;
    storage.owner ? storage.move_to(queue->allocator()) : storage.on(queue->allocator());
  }
}

array uninitialized(const Shape& shape, Dtype dtype, Stream stream) {
  Allocator* memory;
  {
    std::lock_guard lock(scheduler().mutex);
    memory = &scheduler().queue(stream).allocator();
  }
  Ref<Storage> storage(new Storage);
  storage->settle(memory->allocate(element_count(shape) * size_of(dtype)), *memory);
  Ref<Node> node(new Node);
  node->shape = shape, node->strides = row_major(shape), node->dtype = dtype;
  node->stream = stream, node->storage = std::move(storage);
  node->status.store(Status::scheduled, std::memory_order_release);
  return array(std::move(node));
}

array place_joined(std::span<array* const> parts, Device device) {
  check(!parts.empty(), "place_joined: no parts");
  Shape shape = parts[0]->shape();
  shape[0] = 0;
  for (const array* part : parts) {
    Shape rest = part->shape();
    check(rest.size() == shape.size() && part->dtype() == parts[0]->dtype(),
          "place_joined: ", part->dtype(), " ", rest, " does not go with ", parts[0]->dtype(), " ",
          parts[0]->shape());
    shape[0] += rest[0];
    rest[0] = shape[0];
    check(rest == shape, "place_joined: ", part->shape(), " does not go with ", parts[0]->shape());
    check(row_contiguous(part->shape(), part->strides()),
          "place_joined: wanted parts that are row-major in memory; contiguous() makes them so");
  }
  const array whole = uninitialized(shape, parts[0]->dtype(), default_stream(device));
  const Storage& storage = *whole.node().storage;
  int64_t at = 0;  // bytes
  for (array* part : parts) {
    const array rows = *part;
    const Buffer to{static_cast<std::byte*>(storage.buffer.data) + at, rows.nbytes()};
    storage.owner->write(rows.host_bytes(), to, rows.nbytes());
    Ref<Node> view(new Node);
    view->shape = rows.shape(), view->strides = row_major(rows.shape());
    view->dtype = rows.dtype(), view->stream = whole.node().stream;
    view->storage = whole.node().storage, view->offset = at / int64_t(rows.itemsize());
    view->status.store(Status::scheduled, std::memory_order_release);
    at += int64_t(rows.nbytes());
    *part = array(std::move(view));
  }
  return whole;
}

void synchronize() { synchronize(ambient_stream()); }
void synchronize(Stream stream) {
  Scheduler& s = scheduler();
  Event last;
  {
    std::lock_guard lock(s.mutex);
    Queue& q = s.queue(stream);
    last = Event(new EventState(&q));
    q.submit({{}, {}, last});
  }
  last->queue->wait(last);
}

// What the CPU's streams still work on is freed by them first.
void clear_cache() {
  std::vector<Event> last;
  {
    std::lock_guard lock(scheduler().mutex);
    last = scheduler().ends(Device::cpu);
  }
  for (const Event& e : last) e->queue->wait(e);
  host_memory().clear();
}

EvalCounters eval_counters() {
  return {counters.kernels, counters.fallbacks, counters.missed_donations};
}
std::string fallback_report() {
  std::lock_guard lock(scheduler().mutex);
  return scheduler().fallback_report();
}

// What an output may be written over: the storage of a dead input that lies just like it.
static bool donate(Work& work, Allocator& allocator, const array& out) {
  bool missed = false;
  for (size_t i = 0; i < work.in.size(); ++i) {
    Node& in = work.in[i].node();
    if (!work.op->donates_input(int(i)) || in.storage->owner != &allocator || in.offset != 0 ||
        in.shape != out.shape() || size_of(in.dtype) != out.itemsize() ||
        !row_contiguous(in.shape, in.strides))
      continue;
    int here = 0;
    bool over = true;  // not where it is another operand too, which the kernel reads as it goes
    for (size_t k = 0; k < work.in.size(); ++k)
      if (work.in[k].same_node(work.in[i])) ++here, over = over && work.op->donates_input(int(k));
    if (!over) continue;
    if (in.refs() == here && in.storage->refs() == 1) {
      out.node().storage->settle(in.storage->buffer, allocator);
      in.storage->owner = nullptr;  // the address stays readable for the kernel; the bytes moved on
      return true;
    }
    // Later readers are no miss, and a leaf is the user's: only a stray handle to a result is.
    missed = missed || (in.event && in.refs() > in.readers.load(std::memory_order_relaxed));
  }
  if (missed) counters.missed_donations.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void prepare(Work& work, Queue& queue, bool may_donate) {
  Allocator& allocator = queue.allocator();
  for (const array& x : work.in) bring(x, allocator);
  for (size_t i = 0; i < work.out.size(); ++i) {
    const array& out = work.out[i];
    if (work.op->writes_into(int(i)) >= 0)
      bring_home(out, allocator);
    else if (!(may_donate && work.op->donates() && donate(work, allocator, out)))
      out.node().storage->settle(allocator.allocate(out.nbytes()), allocator);
  }
}

void run(Work& work, Queue& queue) {
  std::exception_ptr error = error_of(work.in);
  if (!error) try {
      prepare(work, queue, true);
      bool any = work.out.empty();
      for (const array& out : work.out) any = any || out.size() > 0;
      if (any) work.kernel(*work.op, {work.in, work.out}, queue);
    } catch (...) {
      error = std::current_exception();
    }
  if (error)
    for (const array& out : work.out) out.node().storage->error = error;
  for (const array& x : work.in) x.node().readers.fetch_sub(1, std::memory_order_relaxed);
  work = {};
}

}  // namespace hearth
