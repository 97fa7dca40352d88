#!/usr/bin/env python3
"""An engine of tests: it counts up from the prompt's last id, and breaks the protocol as its option fault says."""
import json
import os
import signal
import subprocess
import sys
import time

options, device = {}, "cpu"


def send(request, **answer):
    sys.stdout.write(json.dumps({"id": request["id"], **answer}) + "\n")
    sys.stdout.flush()


def fail(request, fault):
    """What goes wrong when the run begins; True if it was answered."""
    if fault == "hang":
        time.sleep(600)
    if fault == "hang_with_child":
        child = subprocess.Popen(["sleep", "600"])
        with open(options["note"], "w") as note:
            note.write(str(child.pid))
        time.sleep(600)
    if fault in ("ends_with_child", "ends_with_answer"):  # the child keeps the pipes
        child = subprocess.Popen(["sleep", "600"])
        with open(options["note"], "w") as note:
            note.write(str(child.pid))
        if fault == "ends_with_answer":
            rows = [[row[-1] + 1 + i for i in range(request["new_tokens"])] for row in request["prompts"]]
            send(request, done={"ids": rows})
        os._exit(3)
    if fault == "answers_ahead":
        ahead = {"id": request["id"] + 1, "done": {}}
        sys.stdout.write(json.dumps({"id": request["id"], "done": {}}) + "\n" + json.dumps(ahead) + "\n")
        sys.stdout.flush()
        return True
    if fault == "counts_are_huge":
        send(request, done={"prompt_tokens": 2**32 + 5})
        return True
    if fault == "crash":
        sys.stderr.write("first line\nout of luck\n")
        sys.exit(3)
    if fault == "interrupt" and not os.path.exists(options["note"]):
        open(options["note"], "w").close()
        for pause in (0, 0.05):  # one stroke arrives twice: `make` and `timeout` pass it on
            time.sleep(pause)
            os.kill(os.getppid(), signal.SIGINT)
    if fault == "signal":
        os.kill(os.getpid(), 11)
    if fault == "garbage":
        print("Loading weights: 100%", flush=True)
    if fault == "other_json":
        print("[1, 2]", flush=True)
    if fault == "other_request":
        send({"id": request["id"] + 1}, done={})
    if fault == "flood_of_tokens":
        while True:
            send(request, token=[1])
    if fault == "flood_in_a_line":
        while True:
            sys.stdout.write("x" * 65536)
    if fault == "flood_of_errors":
        for _ in range(2000):
            sys.stderr.write("warning " * 200 + "\n")
        sys.stderr.flush()
    if fault == "closes_output":
        os.close(1)
        time.sleep(600)
    if fault == "leak":
        leaked.append(bytearray(os.urandom(1) * (20 << 20)))
    if fault == "refuse":
        send(request, error="no\nroom\x1b[31m")
        return True
    if fault == "ids_of_text":
        send(request, done={"ids": [["a"]]})
        return True
    if fault == "ids_negative":
        send(request, done={"ids": [[-1]]})
        return True
    if fault == "more_ids":
        send(request, done={"ids": [[1] * 1000]})
        return True
    if fault == "counts_are_text":
        send(request, done={"prompt_tokens": "many"})
        return True
    return False


runs, answered = 0, time.monotonic()
leaked = []


def run(request):
    global runs, answered
    runs += 1
    fault = options.get("fault") if runs > int(options.get("after", 0)) else None
    if fail(request, fault):
        return
    if device == "gone":
        sys.exit(4)
    if "nap" in options and time.monotonic() - answered > 0.1:
        time.sleep(float(options["nap"]))  # it fell asleep meanwhile
    share = 0.5 if options.get("compile") == "1" else 1
    time.sleep(share * float(options.get("sleep", 0)) + float(options.get("per_row", 0)) * len(request.get("prompts", [])))
    if request["kind"] == "op":
        return send(request, done={})
    new = request["new_tokens"] - (fault == "early")
    shift = runs if fault == "other_ids" else int(options.get("shift", 0))
    rows = [[row[-1] + 1 + i + shift for i in range(new)] for row in request["prompts"]]
    for i in range(new if request["stream"] else 0):
        send(request, token=[row[i] + (fault == "streams_other_ids") for row in rows])
    if "log" in options:  # one byte for each answer, before it is sent
        with open(options["log"], "ab", buffering=0) as log:
            log.write(b".")
    answered = time.monotonic()
    send(request, done={"ids": rows, "prompt_tokens": len(request["prompts"][0]), "own": {"x": 1.5, "y": "text"}})


for line in sys.stdin:
    request = json.loads(line)
    what = request["do"]
    if what == "bye":
        break
    if what == "hello":
        options, device = request["options"], request["device"]
        if options.get("fault") == "hello":
            send(request, error="not installed")
        else:
            lacks = {options["lacks"]: "it has none: pip install more"} if "lacks" in options else {}
            send(request, done={"name": "fake", "version": "1", "device": device, "devices": ["cpu"], "lacks": lacks,
                                "counts_launches": "launches" in options, "tells_logits": "logits" in options})
    elif what == "load":
        if options.get("fault") == "load":
            send(request, error="no such model")
        else:
            send(request, done={"dtype": options.get("dtype", "f32"), "weights_bytes": 400, "parameters": 100,
                                "threads": 1, "sampling": "greedy", "takes_ids": True, "notes": ["a fake"]})
    elif what == "run":
        run(request)
    elif what == "check":
        if options.get("fault") == "infinite":
            send(request, error="the result is inf")
        else:
            send(request, done={"checksum": float(options.get("checksum", 1))})
    elif what == "limits":
        send(request, done={"limits": [{"name": "read_bandwidth", "unit": "GB/s", "value": 3000},
                                       {"name": "clock", "unit": "MHz", "value": 1e200, "reason": "lost"},
                                       {"name": "flops_f16", "unit": "GFLOP/s", "value": None, "reason": "no halves"}]})
    elif what == "launches":
        if "launches" not in options or options["launches"] == "crash":
            sys.exit(5)  # it was not to be asked
        elif options["launches"] == "refuse":
            send(request, error="no profiler")
        else:
            send(request, done={"launches": int(options["launches"]), "replayed": request["new_tokens"]})
    elif what == "logits":
        if options["logits"] == "crash":
            sys.exit(6)
        elif options["logits"] == "refuse":
            send(request, error="no logits")
        else:  # the longer the prompt, the larger; the first of the two is ahead by the option
            size = float(len(request["prompt"]))
            send(request, done={"logits": [size + float(options["logits"]), size][: int(options.get("told", 2))]})
    elif what == "memory":
        send(request, done={"tensors_bytes": 400})
    else:
        send(request, done={})
