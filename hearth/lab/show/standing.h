// How engines stand to the first one, in the words that the terminal, `explain` and the page share:
// who, by how much, the verdict, and why.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/judge/explain.h"

namespace hearth::lab {

enum class Tone : uint8_t { plain, good, bad, doubtful };

/// The verdict on two engines: the first of these that holds.
enum class Finding : uint8_t {
  not_comparable,  // they did not do the same work
  no_pairs,        // means alone were published, or no round has both
  no_turns,        // drift was not controlled
  busy,            // the machine was
  few_starts,      // too few to decide
  undecided,       // the interval holds 1
  equivalent,
  faster,
  slower,
  mixed,  // of several jobs: not the same in all of them
};
/// "not comparable", "no verdict", "undecided", "equivalent", "faster", "slower", "depends on the
/// job".
std::string_view to_string(Finding finding);
/// A verdict at all: equivalent, faster or slower.
constexpr bool decided(Finding finding) { return finding >= Finding::equivalent; }

/// One engine against the first that has times of the job.
struct Standing {
  size_t engine = 0;   // index into Result::engines
  bool first = false;  // it is the one that the others are held against
  double time_s = 0;   // per unit
  TimeRatio ratio;     // its time over the first one's
  Finding finding = Finding::undecided;
  std::string why;                   // a clause, or ""
  std::vector<std::string> metrics;  // how its own figures stand to the first one's
  Tone tone() const;
};
/// The fastest first. Engines without times are left out, and those whose ratio to the first is no
/// number.
std::vector<Standing> standings(const Result& result, int job);

/// What to run for a verdict.
struct Advice {
  std::string words;    // a sentence
  std::string command;  // for a shell; "" where the result does not say how its engines are started
};

/// What two engines come to, in sentences.
struct Headline {
  Finding finding = Finding::undecided;  // never `slower`: the faster one is the actor
  std::string who, how_much;             // "hearth:cpu answers", "2.9 times as fast as ... (...)"
  std::string because;                   // ", because ..." or ""
  bool of_one = false;                   // why_none begins with an engine's name
  std::string why_none;                  // why there is no verdict: a clause, or ""
  std::string cause;                     // how sure the cause is: a sentence, or ""
  Advice advice;                         // what to do for a verdict, where there is none
  /// who, how_much, because: one sentence.
  std::string sentence() const { return who + " " + how_much + because + "."; }
  /// "Faster", "Undecided": as a sentence begins.
  std::string verdict() const;
  /// why_none as a sentence of its own; one that begins with an engine's name keeps its letters.
  std::string reason() const;
};
Headline headline(const Result& result, const Explanation& explanation);

/// What the first engine and each other come to over all jobs that both have times of, two at
/// least; the one that is fastest beside it first. Of one job alone there is none.
std::vector<Headline> over_jobs(const Result& result);

/// "generate tiny-phi, 200 new tokens, a prompt of 4"; the model may be left out.
std::string name_of_job(const Job& job, bool with_model = true);

/// Why the slower one takes longer, in a clause; "" if nothing that is known makes it up, or an
/// intervention has refuted it.
struct Reason {
  std::string clause;
  bool cause = true;  // false: a part of the ratio, which can be an effect as well
};
Reason why_of(const Explanation& explanation);

/// Three digits that count, no more than two after the point.
std::string digits(double x);
/// "2.31 times (2.20 to 2.43)"; without an interval the times alone.
std::string times_text(const TimeRatio& ratio);
/// The other way round: B's time over A's.
TimeRatio inverse(const TimeRatio& ratio);
/// A label as sentences have it: one line, no longer than is read.
std::string name_of(std::string_view label);

}  // namespace hearth::lab
