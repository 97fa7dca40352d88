#!/usr/bin/env python3
"""How many of MLX's own C++ tests does hearth pass? Compiles them against compat/mlx and runs them.

    apt-get install doctest-dev; git clone --branch v0.32.0 https://github.com/ml-explore/mlx /tmp/mlx
    cmake --preset release && cmake --build build/release --target libhearth
    tools/mlx_tests.py /tmp/mlx/tests [--build build/release] [--only ops] [--least 235] [-- -O1 ...]

Every file named *_tests.cpp but those of a GPU (gpu, metal, cuda). Where a file does not compile,
the parts of it that the compiler names are left out; a case that was left out has failed. Each case
runs in a process of its own, for 60 seconds at most. Nothing else of the files is changed. What
comes after -- goes to the compiler. Without the files or doctest it says so and leaves with 77."""
import argparse, pathlib, re, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOT_PORTABLE = ("gpu", "metal", "cuda")
CASE = re.compile(r'\s*TEST_CASE\("((?:[^"\\]|\\.)*)"\)')


def items(text):
    """(first line, last line) of each declaration at file scope, by its braces; from 0."""
    out, depth, first, state, i, line = [], 0, None, "", 0, 0
    while i < len(text):
        c, two = text[i], text[i:i + 2]
        if c == "\n":
            line += 1
        if state == "raw":
            if two == ')"':
                state, i = "", i + 1
        elif state in ('"', "'"):
            if c == "\\":
                i += 1
            elif c == state:
                state = ""
        elif state == "//":
            if c == "\n":
                state = ""
        elif state == "/*":
            if two == "*/":
                state, i = "", i + 1
        elif two in ("//", "/*"):
            state = two
            i += 1
        elif text[i:i + 3] == 'R"(':
            state = "raw"
        elif c == '"' or c == "'" and not text[i - 1:i].isalnum():
            state = c
        elif c == "#" and depth == 0 and text[:i].rpartition("\n")[2].strip() == "":
            end = i
            while text[(end := text.index("\n", end + 1)) - 1] == "\\":
                line += 1
            out.append((line - text[i:end].count("\n"), line))
            i = end - 1
        else:
            if first is None and not c.isspace():
                first = line
            depth += {"{": 1, "}": -1, "(": 1, ")": -1}.get(c, 0)
            if depth == 0 and c in "};":
                if c == ";" or not re.match(r"\s*[;,]", text[i + 1:]):
                    out.append((first, line))
                    first = None
        i += 1
    return out


def compile_what_can_be(source, compiler, work):
    """(the program or none, names of all cases, names of those left out with the first error)"""
    text = source.read_text()
    lines, parts = text.split("\n"), items(text)
    name_of = {a: m[1] for a, b in parts if (m := CASE.match("\n".join(lines[a:b + 1])))}
    left_out, copy, program = {}, work / source.name, work / source.stem
    for _ in range(100):
        copy.write_text("\n".join(lines))
        run = subprocess.run([*compiler, str(copy), "-o", str(program) + ".o", "-c"],
                             capture_output=True, text=True)
        if run.returncode == 0:
            break
        at = {}
        told = run.stderr.split("\n")
        for i, said in enumerate(told):
            m = re.match(re.escape(str(copy)) + r":(\d+):\d+: (?:(?:fatal )?error: |  *required from)(.*)", said)
            if m:
                at.setdefault(int(m[1]) - 1, m[2] or next((t for t in told[i:] if "error:" in t), said))
        bad = {(a, b): what for a, b in parts for n, what in at.items() if a <= n <= b and lines[a:b + 1] != [""] * (b - a + 1)}
        if not bad:
            return None, list(name_of.values()), {n: told[0] for n in name_of.values()}
        for (a, b), what in bad.items():
            if a in name_of:
                left_out[name_of[a]] = what
            else:
                print(f"  {source.name}:{a + 1}: left out {lines[a].strip()[:60]}: {what[:100]}")
            lines[a:b + 1] = [""] * (b - a + 1)
    return program, list(name_of.values()), left_out


def main():
    command, flags = sys.argv[1:], ["-O1"]
    if "--" in command:
        command, flags = command[:command.index("--")], command[command.index("--") + 1:]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--only", help="files whose name begins so")
    parser.add_argument("--least", default=0, type=int, help="leave with 1 if fewer cases pass")
    args = parser.parse_args(command)
    files = [f for f in sorted(args.folder.glob("*_tests.cpp")) if not f.name.startswith(NOT_PORTABLE)
             and f.name.startswith(args.only or "")]
    doctest = subprocess.run(["g++", "-E", "-x", "c++", "-"], input='#include <doctest/doctest.h>\n',
                             capture_output=True, text=True)
    if not files or doctest.returncode != 0:
        print("skipped: no *_tests.cpp in", args.folder, "or no doctest (apt-get install doctest-dev)")
        return 77
    build = (ROOT / args.build).resolve()
    compiler = ["g++", "-std=c++20", "-w", "-fmax-errors=0", "-I", str(ROOT / "compat"), "-I", str(ROOT),
                "-I", str(build / "generated"), *flags]
    passed = compiled = cases = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "main.cpp").write_text("#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n#include <doctest/doctest.h>\n")
        subprocess.run(["g++", "-std=c++20", "-c", str(work / "main.cpp"), "-o", str(work / "main.o")], check=True)
        for source in files:
            program, names, failed = compile_what_can_be(source, compiler, work)
            here = [n for n in names if n not in failed]
            if program and here:
                subprocess.run(["g++", str(program) + ".o", str(work / "main.o"), "-o", str(program), "-L", str(build),
                                "-Wl,-rpath," + str(build), "-lhearth", "-lpthread"], check=True)
            compiled += len(here)
            for i, name in enumerate(here):  # doctest's order is that of the file
                try:
                    run = subprocess.run([str(program), f"--first={i + 1}", f"--last={i + 1}", "--no-colors=1"],
                                         capture_output=True, text=True, timeout=60, cwd=folder, errors="replace")
                    if run.returncode == 0:
                        continue
                    what = next((l for l in run.stdout.split("\n") if "ERROR" in l), f"status {run.returncode}")
                    after = run.stdout.partition(what)[2].split("\n")[1:4]
                    failed[name] = what.rpartition("/")[2] + " " + " ".join(l.strip() for l in after)
                except subprocess.TimeoutExpired:
                    failed[name] = "ran for more than 60 seconds"
            print(f"{source.name}: {len(names) - len(failed)} of {len(names)} pass")
            for name, what in failed.items():
                print(f"    {name}: {what[:240]}")
            sys.stdout.flush()
            cases += len(names)
            passed += len(names) - len(failed)
    print(f"{passed} of {cases} cases pass; {compiled} compile")
    return int(passed < args.least)


if __name__ == "__main__":
    sys.exit(main())
