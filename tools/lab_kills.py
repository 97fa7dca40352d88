#!/usr/bin/env python3
"""Kills `hearth lab run` at random moments, again and again, and looks at what is left: all but the
repetition that ran. usage: tools/lab_kills.py build/release/hearth [--kills 1000] [--seed 1]"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

ENGINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/lab/fake_engine.py")
PAIRS, STARTS = 24, 8


def whole_lines(journal):
    """What the journal holds, read apart from hearth: times of all repetitions of each engine."""
    engines = []
    if not os.path.exists(journal):
        return engines
    with open(journal, "rb") as file:
        lines = file.read().split(b"\n")[:-1]  # the last one is cut, or empty
    for line in lines:
        part = json.loads(line)
        for state in part["state"]:
            for i, engine in enumerate(state["engines"]):
                while len(engines) <= i:
                    engines.append([])
                if engine["repetitions"]:
                    engines[i] = [(r["start_s"], r["total_s"]) for r in engine["repetitions"]]
        for r in part["repetitions"]:
            engines[part["engine"]].append((r["start_s"], r["total_s"]))
    return engines


def check(ok, *what):
    if not ok:
        sys.exit("lab_kills: " + " ".join(str(x) for x in what))


def one_run(hearth, folder, kills_left, chance):
    """A run that is killed until it ends by itself, or no kill is left; the kills it took."""
    out, log = os.path.join(folder, "r.json"), os.path.join(folder, "log")
    open(log, "w").close()
    engine = f"fake@{ENGINE}:cpu:sleep=0.002,log={log}"
    begin = ["--engines", f"{engine},{engine}", "--pairs", str(PAIRS), "--starts", str(STARTS), "--seconds", "0",
             "--tokens", "5", "--telemetry", "20ms", "--ignore-others", "-o", out]
    kept, kills, lost = [], 0, 0
    while True:
        goes_on = any(kept) or bool(whole_lines(out + ".journal"))
        args = [hearth, "lab", "run", "--no-limits", "--warmup", "0"] + (["--resume", out] if goes_on else begin)
        run = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            if kills == kills_left:
                run.wait()
            else:
                run.wait(timeout=chance.uniform(0.01, 0.9))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
        error = run.stderr.read().decode()
        run.stderr.close()
        if run.returncode != -signal.SIGKILL:
            check(run.returncode == 0, "exit code", run.returncode, error)
            break
        time.sleep(0.05)  # its engines see that it is gone
        now, answered = whole_lines(out + ".journal"), os.path.getsize(log)
        if os.path.exists(out):
            break  # it was killed between its result and its end
        for before, after in zip(kept, now):
            check(after[: len(before)] == before, "repetitions of before a kill are gone")
        check(len(now) >= len(kept), "an engine is gone")
        kept = now
        held = sum(len(engine) for engine in kept)
        check(answered - held - lost <= 1, answered, "answers,", held, "kept,", lost, "lost before this kill")
        lost = answered - held
    with open(out) as file:
        result = json.load(file)
    check(result["plan"]["finished"], "the run is not finished")
    check(not os.path.exists(out + ".journal"), "its journal is left")
    for engine, before in zip(result["engines"], kept):
        times = [(r["start_s"], r["total_s"]) for r in engine["repetitions"]]
        check(times[: len(before)] == before, "the result lacks what the journal had")
        rounds = {r["round"] for r in engine["repetitions"] if not (r["warmup"] or r["settling"] or r["streamed"])}
        check(rounds == set(range(PAIRS)), "rounds are missing:", sorted(set(range(PAIRS)) - rounds))
    held = sum(len(engine["repetitions"]) for engine in result["engines"])
    check(os.path.getsize(log) - held <= kills, os.path.getsize(log), "answers,", held, "kept,", kills, "kills")
    return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hearth")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, kills, runs = random.Random(options.seed), 0, 0
    while kills < options.kills:
        with tempfile.TemporaryDirectory() as folder:
            kills += one_run(os.path.abspath(options.hearth), folder, options.kills - kills, chance)
            runs += 1
    print(f"{kills} kills in {runs} runs: nothing but the repetitions that ran was lost")


main()
