#!/usr/bin/env python3
"""Which overloads of MLX's C++ headers does hearth have? The compiler says.

    python3 -m venv /tmp/mlx && /tmp/mlx/bin/pip install mlx
    tools/mlx_api.py /tmp/mlx/lib/python3*/site-packages/mlx/include/mlx [--program]

Each declaration of the headers becomes a question to g++: is there a function of this very type
("same"), or does the same call compile ("calls")? What is neither is printed, and the exit status
is 1 if it is not excepted in docs/api.md ("- `namespace::name`: reason" under "Not as in MLX").
--program prints what g++ is asked. Without the headers it says so and leaves with 77: skipped."""
import os, pathlib, re, subprocess, sys

HEADERS = ["ops.h", "fast.h", "transforms.h", "compile.h", "random.h", "fft.h", "linalg.h",
           "einsum.h", "io.h", "export.h", "memory.h", "device.h", "stream.h", "dtype.h", "utils.h",
           "version.h", "graph_utils.h"]
ROOT = pathlib.Path(__file__).resolve().parent.parent


def stripped(text):
    """Without comments, preprocessor lines and MLX's export macro."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)
    return re.sub(r"\bMLX_API\b", "", text)


def statements(text):
    """(namespace, statement) of each declaration at namespace level; bodies are left out."""
    space, depth, start, inside = [], 0, 0, 0
    i = 0
    while i < len(text):
        c = text[i]
        if c in "([":
            inside += 1
        elif c in ")]":
            inside -= 1
        elif c == "{" and inside == 0:
            head = text[start:i].strip()
            opened = re.match(r"(?:inline )?namespace ([\w:]+)$", head)
            if opened:
                space.append(opened[1])
            else:
                level, i = 1, i + 1
                while level:
                    level += {"{": 1, "}": -1}.get(text[i], 0)
                    i += 1
                if not re.match(r"(template\s*<.*>\s*)?(struct|class|enum|union)\b", head, re.S):
                    yield "::".join(space), head
                start = i
                continue
            start = i + 1
        elif c == "}" and inside == 0:
            space.pop()
            start = i + 1
        elif c == ";" and inside == 0:
            yield "::".join(space), text[start:i].strip()
            start = i + 1
        i += 1


def split_arguments(text):
    out, level, last = [], 0, 0
    for i, c in enumerate(text):
        level += {"(": 1, "<": 1, "{": 1, ")": -1, ">": -1, "}": -1}.get(c, 0)
        if c == "," and level == 0:
            out.append(text[last:i])
            last = i + 1
    return [a.strip() for a in out + [text[last:]] if a.strip()]


def parameter(text):
    """(type, has a default)"""
    bare = re.split(r"=(?![^<]*>)", text)[0].strip()
    bare = re.sub(r"\(\*\s*\w+\)", "(*)", bare)
    named = re.match(r"(.*[\s&*>])(\w+)$", bare, re.S)
    if named and named[2] not in ("int", "float", "double", "bool", "array", "Dtype", "Shape", "Device", "Stream",
                                  "ThreadLocalStream", "const"):
        bare = named[1].strip()
    return " ".join(bare.split()), "=" in text


def functions(folder):
    for header in HEADERS:
        for space, text in statements(stripped((folder / header).read_text())):
            text = " ".join(text.split())
            made = re.match(r"(template\s*<(?:[^<>]|<[^<>]*>)*>\s*)?(.*?[\s&*>])((?:operator\s*[^\s(]+)|\w+)\s*\((.*)\)\s*(?:const)?$", text)
            if not made or re.match(r"(using|typedef|extern|static_assert)\b", text) or "detail" in space or "env" in space:
                continue
            template, result, name, arguments = made.groups()
            result = re.sub(r"\b(inline|static|constexpr)\b", "", result).strip()
            if not result or "=" in result:
                continue
            yield header, space.replace("mlx::core", "hearth"), template, result, name.replace(" ", ""), \
                [parameter(a) for a in split_arguments(arguments)]


# What the questions of a template are asked with.
STAND_INS = {"T": "float", "U": "float", "Arrays": "array", "F": "Arrays (*)(const Arrays&)", "Vec": "Shape"}


def questions(folder):
    for n, (header, space, template, result, name, parameters) in enumerate(functions(folder)):
        types = [t for t, _ in parameters]
        required = sum(not d for _, d in parameters)
        if template:
            for letter, stand_in in STAND_INS.items():
                types = [re.sub(rf"\b{letter}\b(?:&&)?(\s*\.\.\.)?", stand_in, t) if re.search(rf"(typename|class)[ .]*{letter}\b", template) else t
                         for t in types]
        yield n, header, space, bool(template), result, name, types, required


PROGRAM = """
#include "hearth/hearth.h"
using namespace hearth;
using Args = Arrays;  // as compat/mlx/mlx.h has it
"""


def program(folder):
    text, asked = PROGRAM, {}
    for n, header, space, template, result, name, types, required in questions(folder):
        text += f"namespace {space} {{\n"
        arguments = ", ".join(types)
        if not template:
            text += (f"template <class R> concept Same{n} = requires {{ static_cast<R (*)({arguments})>(&{name}); }};\n"
                     f'static_assert(Same{n}<{result}>, "SAME {n}");\n')
        for count in range(required, len(types) + 1):
            call = ", ".join(f"std::declval<A{i}>()" for i in range(count))
            call = f"{name}({call})" if name.startswith("operator") else f"{space}::{name}({call})"
            if count:
                text += f"template <{', '.join(f'class A{i}' for i in range(count))}> concept Call{n}_{count} = requires {{ {call}; }};\n"
                text += f'static_assert(Call{n}_{count}<{", ".join(types[:count])}>, "CALL {n}");\n'
            else:
                text += f"template <class T> concept Call{n}_0 = requires(T t) {{ (void)t, {call}; }};\nstatic_assert(Call{n}_0<int>, \"CALL {n}\");\n"
        text += "}\n"
        asked[n] = (header, f"{space}::{name}", f"{result} {name}({arguments})")
    return text, asked


def excepted():
    page = ROOT / "docs/api.md"
    if not page.exists():
        return {}
    part = page.read_text().partition("## Not as in MLX")[2].partition("\n## ")[0]
    return {name: reason for names, reason in re.findall(r"^- (`.*?`): (.*)$", part, re.M)
            for name in re.findall(r"`([^`]+)`", names)}


def main():
    folder = pathlib.Path(next((a for a in sys.argv[1:] if not a.startswith("-")),
                               os.environ.get("MLX_INCLUDE", "/nowhere")))
    if not (folder / "ops.h").exists():
        print(f"no headers of MLX at {folder}: install PyPI's mlx, and name .../mlx/include/mlx")
        return 77
    text, asked = program(folder)
    if "--program" in sys.argv:
        print(text)
        return 0
    generated = next(ROOT.glob("build/*/generated"), None)
    if generated is None:
        print("no build: some headers are made by it; run make build first")
        return 77
    compiler = subprocess.run(["g++", "-std=c++20", "-fsyntax-only", "-fmax-errors=0", "-w", f"-I{ROOT}", f"-I{generated}", "-xc++", "-"],
                              input=text, text=True, capture_output=True)
    failed = {kind: {int(n) for n in re.findall(rf"static assertion failed: {kind} (\d+)", compiler.stderr)}
              for kind in ("SAME", "CALL")}
    other = [line for line in compiler.stderr.splitlines() if "error" in line and "static assertion" not in line]
    unknown = {}  # types that hearth lacks: no question could be asked
    lines = text.splitlines()
    if any("fatal error" in line or not line.startswith("<stdin>:") for line in other):
        sys.exit("hearth's own headers do not compile:\n" + "\n".join(other[:5]))
    for line in other:
        at = re.match(r"<stdin>:(\d+):", line)
        if at:
            n = re.search(r"(?:Same|Call)(\d+)", lines[int(at[1]) - 1])
            if n:
                unknown[int(n[1])] = line
    reasons = excepted()
    counts = {"same": 0, "calls": 0, "excepted": 0, "missing": 0}
    for n, (header, name, signature) in asked.items():
        kind = "same" if n not in failed["SAME"] and n not in failed["CALL"] and n not in unknown else \
            "calls" if n not in failed["CALL"] and n not in unknown else "excepted" if name in reasons else "missing"
        counts[kind] += 1
        if kind == "missing":
            print(f"{header}: {signature}" + (f"   [{unknown[n].split('error:')[1].strip()}]" if n in unknown else ""))
    print(f"{len(asked)} overloads: " + ", ".join(f"{v} {k}" for k, v in counts.items()))
    return 1 if counts["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
