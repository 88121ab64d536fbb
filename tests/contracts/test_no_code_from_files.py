"""The code has no way to run what a file says: no pickle, shell or `eval`; pages forbid all scripts but their own."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import clipcli
from clipcli.commands.review.server import POLICY_OF_SERVER
from clipcli.report.render import rendered

PACKAGE = Path(clipcli.__file__).parent
TEMPLATES = sorted((PACKAGE / "report").glob("*.j2"))
# Calls that run, or unpack, what they are given, whatever their arguments.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load"),
    *("yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open", "torch.jit.load", "pd.read_pickle"),
    *("torch.hub.load", "runpy.run_path", "joblib.load", "subprocess.getoutput", "shutil.unpack_archive"),
}
# Modules that pickle what one process of a run tells another: no file, and nothing of a worker that decodes.
BETWEEN_PROCESSES = {
    "commands/classify/on_ray.py",
    "commands/classify/ray_workers.py",
    "images/isolate.py",
    "images/worker.py",
}
# Calls that read back what the command itself has just written, into a folder that nobody else knows.
OF_OUR_OWN = {"commands/convert/to_openai.py": "torch.jit.load"}
UNPACKS = {"extractall", "extract"}
# Calls that are safe with this argument alone.
ONLY_WITH = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
NEVER_WITH = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """The place, the written name and the call of every call in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", ast.unparse(node.func), node


def given(call: ast.Call) -> dict[str | None, object]:
    return {one.arg: one.value.value for one in call.keywords if isinstance(one.value, ast.Constant)}


def test_nothing_runs_or_unpacks_what_a_file_says() -> None:
    found = []
    for place, name, call in calls():
        wanted = ONLY_WITH.get(name)
        wrong = name in FORBIDDEN or name.rpartition(".")[2] in UNPACKS
        wrong = wrong or (wanted is not None and given(call).get(wanted[0]) is not wanted[1])
        wrong = wrong or any(given(call).get(key) is value for key, value in NEVER_WITH.items())
        file = place.partition(":")[0]
        found += [f"{place} {name}"] if wrong and file not in BETWEEN_PROCESSES and OF_OUR_OWN.get(file) != name else []
    assert found == []


def test_json_and_yaml_of_files_are_parsed_in_one_place() -> None:
    parsers = {"json.loads", "json.load", "yaml.safe_load", "yaml.compose"}
    found = {place.partition(":")[0] for place, name, _ in calls() if name in parsers}
    # The last two read what clipcli itself has written, into the package and into its cache.
    assert found == {"parsed.py", "backbones/catalogue.py", "encoding/label_checks.py"}


def test_only_one_module_unpickles_files_and_it_refuses_all_but_tensors() -> None:
    users = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if re.search(r"^\s*(import|from) (pickle|marshal|shelve|dill|cloudpickle)\b", path.read_text(), re.MULTILINE)
    ]
    assert set(users) == {"backbones/script.py", *BETWEEN_PROCESSES}
    text = (PACKAGE / "backbones/script.py").read_text()
    assert "def find_class(" in text
    assert "raise pickle.UnpicklingError" in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_page_forbids_all_scripts_but_its_own(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    plain = re.sub(r"{%.*?%}", "", text)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', plain)
    assert policy is not None
    # It stands before all that it is about.
    assert policy.start() < min(text.index("<style"), text.index("<script"), text.index("<title"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "{{ script_hash }}"
    assert {rules["base-uri"], rules["form-action"]} == {"'none'"}
    assert "unsafe-eval" not in policy[1]
    # No script in an attribute, and nothing that is not escaped.
    assert not re.search(r"<[^>]*\son\w+=", text)
    assert "| safe" not in text
    assert "autoescape false" not in text


def test_the_templates_are_those_that_the_package_writes() -> None:
    assert [path.name for path in TEMPLATES] == ["page.html.j2", "review.html.j2"]
    writers = [place for place, _, call in calls() if ast.unparse(call).startswith(("Environment(", "rendered("))]
    assert {place.partition(":")[0] for place in writers} == {"report/render.py", "report/page.py", "report/review.py"}
    assert "frame-ancestors 'none'" in POLICY_OF_SERVER


def test_the_hash_in_a_page_is_that_of_its_script() -> None:
    from clipcli.report import Page

    html = rendered("page.html.j2", styles=["page.css"], scripts=["page.js"], page=Page("<b>", "&", []))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}';" in html
    assert "&lt;b&gt;" in html


def test_the_tests_that_the_promises_name_are_there() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 10
    assert [name for name in named if not (Path(__file__).parents[1] / name).is_file()] == []
