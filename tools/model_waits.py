#!/usr/bin/env python3
"""A model of the waits in the kernel of tasks (hearth/backend/cuda/task_kernel.cu): every order in which
the warps of two blocks can come to them, for lists of tasks as models have them.

    tools/model_waits.py

A fault is a state in which nothing can go on; a named barrier that is passed again before the others
came; a task or sums in shared memory, or a tagged word, that others have replaced before it was read.
Ends with 1 if the kernel's way has one, or if the way that it went before has none: then the model
sees nothing.
"""
import sys

BLOCKS = 2
LISTS = {  # L a linear task, D one with a late term (its x comes from the attention before), A attention
    "phi": "LADLADL",
    "phi, from the middle": "ADLADLA",
    "llama": "LALLLLALLL",
    "attention first and last": "ALLA",
}


def workers(tasks):
    steps, linears = [], 0
    for t, kind in enumerate(tasks):
        if kind == "A":
            continue
        attended = tasks[t + 1 : t + 2] == "A"
        if t > 0:
            steps.append(("sync", "go"))
        if kind == "D" or attended:
            steps.append(("pass", "begun"))
        steps += [("stage", t), ("read", linears, t)]
        if attended:
            steps.append(("pass", "early"))
        if kind == "D":
            steps.append(("sync", "late"))
        steps.append(("read", linears, t))
        if t + 2 < len(tasks) or (t + 1 < len(tasks) and not attended):
            steps.append(("sync", "done"))
        linears += 1
    return steps


def barrier_warp(tasks, waits):
    steps, linears = [], 0
    for t, kind in enumerate(tasks):
        if kind == "A":
            continue
        if t > 0:
            if linears > 0:
                steps += [("bring", linears, t), ("sync", "done")]
            if tasks[t - 1] == "A" and (waits or kind != "D"):
                steps.append(("sync", "attended"))
            steps += [("raise",), ("await",), ("sync", "go")]
        linears += 1
    return steps


def attention(tasks, waits):
    steps, linears = [], 0
    for t, kind in enumerate(tasks):
        if kind != "A":
            linears += 1
            continue
        if t > 0:
            if tasks[t - 1] != "D":
                steps.append(("sync", "begun"))
            steps += [("read", linears - 1, t - 1), ("sync", "early"), ("read", linears - 1, t - 1)]
            steps += [("sums", t - 1), ("tell", "rows", t)]
        late = tasks[t + 1 : t + 2] == "D"
        if late and waits:
            steps.append(("pass", "attended"))
        if t > 0:
            steps.append(("hear", "rows", t))
        steps.append(("tell", "given", t))
        if t + 1 == len(tasks):
            break
        if not late:
            steps.append(("sync", "attended"))
            continue
        steps += [("sync", "begun"), ("read", linears, t + 1)]
        steps += [("hear", "given", t), ("pass", "late")]
    return steps


SLOTS = 2  # of tasks in shared memory
MEMBERS = {"begun": (0, 2), "early": (0, 2), "late": (0, 2), "done": (0, 1),
           "go": (0, 1), "attended": (1, 2)}  # of workers, barrier warp, attention


class Fault(Exception):
    pass


def look(tasks, waits=True):
    """How many states there are; raises a Fault. waits: no task begins before attention has read."""
    programs = [workers(tasks), barrier_warp(tasks, waits), attention(tasks, waits)]
    first = next(t for t, kind in enumerate(tasks) if kind != "A")
    # Of a block: where each warp is, who came to which barrier, the tasks in shared memory, the
    # words that it told, how often it met the others, whose sums and x lie in shared memory; of
    # all: the counter of the grid barrier.
    block = ((0, 0, 0), (), (first,) + (None,) * (SLOTS - 1), (-1, -1), 0, first)
    start = ((block,) * BLOCKS, 0)
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        following = list(steps_from(state, programs))
        blocks = state[0]
        if not following and any(b[0] != tuple(map(len, programs)) for b in blocks):
            stuck = [programs[w][at] for b in blocks for w, at in enumerate(b[0]) if at < len(programs[w])]
            raise Fault(f"nothing goes on: {stuck}")
        for after in following:
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen)


def steps_from(state, programs):
    blocks, met = state
    for b, (at, came, near, told, meetings, staged) in enumerate(blocks):
        for w in range(3):
            if at[w] == len(programs[w]):
                continue
            step, *what = programs[w][at[w]]
            now_at, now_came, now_near, now_told = at, came, near, told
            now_met, now_meetings, now_staged = met, meetings, staged
            go_on = True
            if step in ("sync", "pass"):
                name = what[0]
                mine = (name, w)
                if mine in came and step == "pass":
                    raise Fault(f"{name} is passed again before the others came")
                if mine in came:
                    continue  # it waits already
                now_came = came + (mine,)
                go_on = step == "pass"
                if all((name, m) in now_came for m in MEMBERS[name]):
                    now_came = tuple(c for c in now_came if c[0] != name)
                    # Those that waited go on; who passed is on its way.
                    now_at = tuple(p + (m in MEMBERS[name] and p < len(programs[m])
                                        and programs[m][p] == ("sync", name)) for m, p in enumerate(at))
                    if step == "sync":
                        go_on = False
                now_came = tuple(sorted(now_came))
            elif step == "bring":
                now_near = near[: what[0] % SLOTS] + (what[1],) + near[what[0] % SLOTS + 1 :]
            elif step == "read":
                if near[what[0] % SLOTS] != what[1]:
                    raise Fault(f"task {what[1]} is read where task {near[what[0] % SLOTS]} lies")
            elif step == "stage":
                now_staged = what[0]
            elif step == "sums":
                if staged != what[0]:
                    raise Fault(f"sums of task {what[0]} are read where task {staged} has begun")
            elif step == "raise":
                now_met, now_meetings = met + 1, meetings + 1
            elif step == "await":
                if met < meetings * BLOCKS:
                    continue
            elif step == "tell":
                which = what[0] == "given"
                now_told = (told[0], what[1]) if which else (what[1], told[1])
            elif step == "hear":
                heard = [other[3][what[0] == "given"] for other in blocks]
                if any(tag > what[1] for tag in heard):
                    raise Fault(f"{what[0]} of task {what[1]} were replaced before they were heard")
                if any(tag < what[1] for tag in heard):
                    continue
            if go_on:
                now_at = now_at[:w] + (now_at[w] + 1,) + now_at[w + 1 :]
            now = (now_at, now_came, now_near, now_told, now_meetings, now_staged)
            yield blocks[:b] + (now,) + blocks[b + 1 :], now_met


def main():
    bad = False
    for name, tasks in LISTS.items():
        try:
            print(f"{name}: {look(tasks)} states, no fault")
        except Fault as fault:
            bad = True
            print(f"{name}: {fault}")
    try:
        look(LISTS["phi"], waits=False)
        bad = True
        print("without the wait for attention: no fault, so the model sees nothing")
    except Fault as fault:
        print(f"without the wait for attention: {fault}")
    sys.exit(bad)


main()
