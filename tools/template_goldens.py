#!/usr/bin/env python3
"""What Jinja2, set up as transformers sets it up, makes of chat templates: the expected values of
tests/llm/chat_template_test.cpp. Needs transformers and jinja2.

  tools/template_goldens.py                 tests/data/templates: its *.jinja and expressions.json
  tools/template_goldens.py FOLDER          the *.jinja of any folder (HEARTH_TEMPLATES of the tests)

Writes expected.json into the folder: {template: {conversation: {"output"} or {"error"}}}.
"""
import datetime
import json
import pathlib
import sys

import jinja2
import transformers.utils.chat_template_utils as utils

NOW = datetime.datetime(2025, 3, 9, 8, 7, 6)
OWN = pathlib.Path(__file__).resolve().parent.parent / "tests/data/templates"


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


utils.datetime = FixedTime


def rendered(source, conversation):
    variables = dict(conversation.get("variables", {}))
    variables.setdefault("bos_token", "<s>")
    variables.setdefault("eos_token", "</s>")
    try:
        template = utils._compile_jinja_template(source)
        output = template.render(
            **{"documents": None, "add_generation_prompt": True, **variables},
            messages=conversation["messages"],
            tools=conversation.get("tools"),
        )
        output.encode()
        return {"output": output}
    except jinja2.exceptions.TemplateSyntaxError as error:
        return {"error": str(error), "kind": "syntax", "line": error.lineno}
    except Exception as error:  # whatever a template can make Python raise
        refused = type(error) is jinja2.exceptions.TemplateError
        return {"error": str(error), "kind": "refused" if refused else type(error).__name__}


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OWN
    conversations = json.loads((OWN / "conversations.json").read_text())
    expected = {}
    for file in sorted(folder.glob("*.jinja")):
        source = file.read_bytes().decode()
        expected[file.name] = {name: rendered(source, c) for name, c in conversations.items()}
    write(folder / "expected.json", expected)
    if folder == OWN:
        plain = {"messages": conversations["plain"]["messages"]}
        cases = json.loads((OWN / "expressions.json").read_text())
        write(OWN / "expressions.json",
              [{"template": c["template"], **rendered(c["template"], plain)} for c in cases])


main()
