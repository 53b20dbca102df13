"""Guard: no protection is switched off, in code, in tests, or by an option."""

import ast
from pathlib import Path

import pytest

from cffs.core.settings_options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("cffs", "tests", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
#: Attributes and names that must not occur, and why.
FORBIDDEN_NAMES = {
    "CERT_NONE": "TLS without verification",
    "CERT_OPTIONAL": "TLS without verification",
    "_create_unverified_context": "TLS without verification",
    "_create_stdlib_context": "TLS without verification",
    "raise_for_status": "its exception prints the URL, the key in it",
    "capture_locals": "a traceback with values",
    "pickle": "bytes that run",
    "marshal": "bytes that run",
    "shelve": "bytes that run",
}
#: Keyword arguments that must not have that value, and why.
FORBIDDEN_KEYWORDS = {
    ("verify", False): "TLS without verification",
    ("check_hostname", False): "TLS without verification",
    ("trust_env", True): "a proxy of the environment is told every key",
    ("follow_redirects", True): "secrets follow the redirect",
    ("shell", True): "a command line put together from text",
    ("forbid_dtd", False): "XML with entities",
    ("resolve_entities", True): "XML with entities",
}


def offences(tree: ast.AST) -> list[str]:
    """Line and reason of everything forbidden in it."""
    found = []
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
        names = [name] if name else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.name for alias in node.names]
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found += [f"{node.lineno}: {FORBIDDEN_NAMES[name]}" for name in names if name in FORBIDDEN_NAMES]
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
                if (keyword.arg, value) in FORBIDDEN_KEYWORDS:
                    found.append(f"{node.lineno}: {FORBIDDEN_KEYWORDS[keyword.arg, value]}")
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"{node.lineno}: text that runs")
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is False:
            targets = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            found += [f"{node.lineno}: TLS without verification"] if "check_hostname" in targets else []
    return found


def test_nothing_is_switched_off():
    """No file of the repository turns a protection off, its tests included."""
    assert FILES
    found = {path.name: bad for path in FILES if (bad := offences(ast.parse(path.read_text())))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "import ssl\ncontext.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False",
        "httpx.AsyncClient(verify=False)",
        "from ssl import _create_unverified_context",
        "client(trust_env=True)",
        "subprocess.run(x, shell=True)",
        "import pickle",
        "XMLParser(forbid_dtd=False)",
        "eval('1')",
        "response.raise_for_status()",
    ],
)
def test_the_guard_sees(text):
    """Each of them would be found."""
    assert offences(ast.parse(text))


def test_no_option_turns_tls_off():
    """There is a bundle to trust and a way to use plain http knowingly; nothing accepts a wrong certificate."""
    names = {option.name for option in OPTIONS}
    assert {"ca_bundle", "insecure_http"} <= names
    assert not {name for name in names if any(word in name for word in ("verify", "tls", "ssl", "insecure"))} - {
        "insecure_http"
    }
