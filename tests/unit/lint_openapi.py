"""proto/openapi.yaml says the same as the tables in proto/status.h and proto/message.h and the gateway's routes.
lint_openapi.py SOURCE_DIR. Needs Debian's python3-yaml."""
import json
import pathlib
import re
import sys

import yaml

SOURCE = pathlib.Path(sys.argv[1])
PROTO = SOURCE / "proto"
faults = []


def expect(what, got, want):
    if got != want:
        faults.append(f"{what}: openapi.yaml has {got}, the table has {want}")


def rows(header, table, pattern):
    text = (PROTO / header).read_text()
    body = re.search(rf"#define {table}\(X\)((?:[^\n]*\\\n)*[^\n]*)", text)
    return re.findall(pattern, body.group(1)) if body else []


def references(node):
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolves(api, reference):
    file, _, pointer = reference.partition("#")
    node = json.loads((PROTO / file).read_text()) if file else api
    for key in pointer.split("/")[1:]:
        node = node.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node is not None


api = yaml.safe_load((PROTO / "openapi.yaml").read_text())
schemas = api["components"]["schemas"]

statuses = rows("status.h", "STATUS_TABLE", r'X\((\w+), "(\w+)", (true|false)\)')
words = {symbol: word for symbol, word, _ in statuses}
expect("statuses", schemas["Status"]["enum"], [word for _, word, _ in statuses])

reasons = {}
for _, word, status in rows("status.h", "REASON_TABLE", r'X\((\w+), "(\w+)", (\w+), \w+\)'):
    reasons.setdefault(words[status], []).append(word)
for status, word in rows("status.h", "PLAIN_REASON_TABLE", r'X\("(\w+)", "(\w+)"\)'):
    reasons.setdefault(status, []).append(word)
groups = [schemas[r["$ref"].rsplit("/", 1)[1]] for r in schemas["Reason"]["anyOf"]]
expect("reasons", {group["x-status"]: group["enum"] for group in groups}, reasons)

types = re.findall(r'^ \* \{"type":"(\w+)"', (PROTO / "message.h").read_text(), re.M)
messages = [schemas[r["$ref"].rsplit("/", 1)[1]] for r in schemas["Message"]["oneOf"]]
expect("messages", [message["properties"]["type"]["const"] for message in messages], types)

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
table = re.findall(r'\{ROUTE_(\w+), "([^"]+)", \w+, ([\w]+), (true|false), (?:true|false)\}',
                   (SOURCE / "orchestrator/gateway/routes.c").read_text())
routes = {f"{method} {path}": is_open == "true" for method, path, _, is_open in table}
described = {f"{method.upper()} {path}": operation for path, item in api["paths"].items()
             for method, operation in item.items() if method in METHODS}
for route in sorted(routes.keys() | described.keys()):
    if route not in described:
        faults.append(f"{route}: the gateway has it, openapi.yaml does not")
    elif route not in routes:
        faults.append(f"{route}: openapi.yaml has it, the gateway does not")
    else:
        expect(f"whether {route} is open to all", described[route].get("security") == [], routes[route])

for reference in sorted(set(references(api))):
    if not resolves(api, reference):
        faults.append(f"$ref {reference} leads nowhere")
for path, item in api["paths"].items():
    for name in re.findall(r"\{(\w+)\}", path):
        parameters = [p["$ref"] for p in item.get("parameters", [])]
        if f"#/components/parameters/{name.capitalize()}" not in parameters:
            faults.append(f"{path}: the parameter {name} is not described")

if not (statuses and reasons and types and routes):
    faults.append("a table was not found: has a header changed its form?")
print("\n".join(faults) or f"{len(statuses)} statuses, {sum(map(len, reasons.values()))} reasons, {len(types)} messages, "
      f"{len(routes)} routes")
sys.exit(bool(faults))
