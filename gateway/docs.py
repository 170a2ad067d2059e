"""`GET /docs`: the OpenAPI document as one readable page.

Rendered once, on the server: no script, no font, nothing from elsewhere. Its content security policy says so.
"""

import base64
import hashlib
import json
from html import escape
from typing import Any

from gateway.openapi import METHODS

Document = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --link: #8ab4f8; } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 0 1rem 4rem; }
a { color: var(--link); } a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 1rem; background: Canvas; padding: .5rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top; }
article { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: 1.5rem; }
h3 code { font-size: 1rem; } .method { display: inline-block; min-width: 4.2em; font-weight: 700; }
nav ul { padding-left: 1.2rem; }
""".strip()

# The same words as in docs/glossary.md, for the readers of the French half.
ROLES_IN_FRENCH = {
    "officer": "agent de la commune",
    "operator": "opérateur",
    "association": "association",
    "company": "entreprise",
    "volunteer": "bénévole",
    "auditor": "contrôleur",
    "partner": "partenaire",
    "instance_admin": "administrateur de l'instance",
    "visitor": "tout le monde, sans jeton",
}

_INTRO = """
<section lang="fr" aria-labelledby="presentation">
<h2 id="presentation">Présentation</h2>
<p>Métis porte la « subvention METIS » d'une commune : le crédit d'expertises, des heures de compétences données par des
salariés et des habitants, qui compense en partie la baisse d'une subvention. Cette page décrit l'interface par laquelle
d'autres programmes (plateforme de partenaires, tableurs, portail) lisent et écrivent. Tout y vit sous
<code>/v1/territories/{code INSEE}</code>.</p>
<p>Pour commencer : la commune vous remet un identifiant (<code>92071.exemple</code>) et un secret. Échangez-les contre un jeton,
valable une heure au plus, puis envoyez ce jeton avec chaque requête. Chaque opération ci-dessous dit qui peut l'appeler :
le jeton doit porter la portée (<i lang="en">scope</i>) indiquée, et son titulaire l'un des rôles.</p>
</section>
<section aria-labelledby="start">
<h2 id="start">Getting started</h2>
<p>Your town gives you a client id (such as <code>92071.example</code>) and a secret.
Trade them for a token, good for an hour at most:</p>
<pre tabindex="0">curl -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials https://HOST/oauth/token
curl -H "Authorization: Bearer $TOKEN" https://HOST/v1/territories/92071/needs</pre>
<ul>
<li>Lists come in pages: <code>items</code>, and <code>next</code>, which is the <code>cursor</code> of the page after.</li>
<li>Writes take an <code>Idempotency-Key</code>: send the same key again and the same answer comes, the deed happens once.</li>
<li>Edits take <code>If-Match</code> with the <code>ETag</code> you read; 412 says that somebody was faster.</li>
<li>Errors are <code>application/problem+json</code> (RFC 9457): compare <code>type</code>,
show <code>detail</code>, quote <code>trace</code>.</li>
<li>Each answer carries <code>RateLimit</code>; 429 names the seconds to wait in <code>Retry-After</code>.</li>
</ul>
<p>The same as a file for your tools: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).
Token keys: <a href="/oauth/jwks">/oauth/jwks</a>.</p>
</section>
"""


def _content_security_policy() -> bytes:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".encode()
    )


PAGE_HEADERS = ((b"content-security-policy", _content_security_policy()), (b"referrer-policy", b"no-referrer"))


def render_docs(document: Document) -> bytes:
    """The whole page as UTF-8 HTML."""
    groups = [(tag, _operations_of(document, tag["name"])) for tag in document.get("tags", [])]
    schemas = document.get("components", {}).get("schemas", {})
    title = f"{document['info']['title']} API {document['info']['version']}"
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>',
        f'<a class="skip" href="#content">Skip to content</a><header><h1>{escape(title)}</h1></header>',
        _render_contents(groups),
        f'<main id="content">{_INTRO}',
        *(_render_group(tag, operations, document) for tag, operations in groups),
        '<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>',
        *(_render_schema(name, schema) for name, schema in schemas.items()),
        "</section></main></body></html>\n",
    ]
    return "".join(parts).encode()


def _operations_of(document: Document, service: str) -> list[tuple[str, str, Document]]:
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item and item[method]["x-service"] == service
    ]


def _render_contents(groups: list[tuple[Document, list[tuple[str, str, Document]]]]) -> str:
    parts = ['<nav aria-label="Operations"><h2>Operations</h2>']
    for tag, operations in groups:
        links = "".join(
            f'<li><a href="#{_anchor(operation)}"><code>{method.upper()} {escape(_short(path))}</code></a>'
            f" {escape(_summary(operation))}</li>"
            for path, method, operation in operations
        )
        parts.append(f"<details><summary>{escape(tag['name'])} ({len(operations)})</summary><ul>{links}</ul></details>")
    parts.append('<p><a href="#schemas">Schemas</a></p></nav>')
    return "".join(parts)


def _render_group(tag: Document, operations: list[tuple[str, str, Document]], document: Document) -> str:
    name = escape(tag["name"])
    articles = "".join(_render_operation(path, method, operation, document) for path, method, operation in operations)
    description = escape(tag.get("description", ""))
    return f'<section aria-labelledby="tag-{name}"><h2 id="tag-{name}">{name}</h2><p>{description}</p>{articles}</section>'


def _render_operation(path: str, method: str, operation: Document, document: Document) -> str:
    anchor = _anchor(operation)
    roles = ", ".join(
        f'{escape(role)} (<span lang="fr">{escape(ROLES_IN_FRENCH.get(role, role))}</span>)' for role in operation["x-roles"]
    )
    description = "".join(f"<p>{escape(part)}</p>" for part in operation.get("description", "").split("\n\n") if part)
    return (
        f'<article aria-labelledby="{anchor}"><h3 id="{anchor}"><code>'
        f'<span class="method">{method.upper()}</span> {escape(path)}</code></h3>'
        f"<p><strong>{escape(_summary(operation))}</strong></p>{description}"
        f"<p>Who may call it: scope <code>{escape(operation['x-scope'])}</code>; {roles}.</p>"
        f"{_render_parameters(operation, document)}{_render_body(operation)}{_render_responses(operation, document)}</article>"
    )


def _render_parameters(operation: Document, document: Document) -> str:
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(item['name'])}</code></th><td>{escape(item['in'])}</td>"
        f"<td>{'yes' if item.get('required') else 'no'}</td><td>{_describe(item.get('schema', {}))}</td>"
        f"<td>{escape(item.get('description', ''))}</td></tr>"
        for item in (_resolve(parameter, document) for parameter in operation.get("parameters", []))
    )
    return _table("Parameters", ("Name", "In", "Required", "Type", "Meaning"), rows)


def _render_body(operation: Document) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body (<code>{escape(kind)}</code>): {_describe(media.get('schema', {}))}</p>" for kind, media in content.items()
    )


def _render_responses(operation: Document, document: Document) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(status)}</th><td>{escape(response.get('description', ''))}</td><td>"
        + ", ".join(_describe(media.get("schema", {})) for media in response.get("content", {}).values())
        + "</td></tr>"
        for status, response in sorted((status, _resolve(item, document)) for status, item in operation["responses"].items())
    )
    return f"<details><summary>Answers</summary>{_table('Answers', ('Status', 'Meaning', 'Body'), rows)}</details>"


def _render_schema(name: str, schema: Document) -> str:
    heading = f'<article aria-labelledby="schema-{escape(name)}"><h3 id="schema-{escape(name)}"><code>{escape(name)}</code></h3>'
    about = f"<p>{escape(schema['description'])}</p>" if schema.get("description") else ""
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(key)}</code></th><td>{_describe(value)}</td>"
        f"<td>{'yes' if key in required else 'no'}</td><td>{escape(value.get('description', ''))}</td></tr>"
        for key, value in schema.get("properties", {}).items()
    )
    body = _table("Fields", ("Field", "Type", "Required", "Meaning"), rows) if rows else f"<p>{_describe(schema)}</p>"
    return f"{heading}{about}{body}</article>"


def _describe(schema: Document) -> str:
    """A type in a few words, with links to the schemas it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}"><code>{escape(name)}</code></a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_describe(choice) for choice in schema[key])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const'], ensure_ascii=False))}</code>"
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_describe(schema.get('items', {}))}"
    kind = escape(str(schema.get("type", "anything")))
    details = [f"{word} {escape(str(schema[key]))}" for key, word in _LIMITS.items() if key in schema]
    return ", ".join([kind, *details])


_LIMITS = {
    "format": "format",
    "minLength": "min. characters",
    "maxLength": "max. characters",
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "pattern": "pattern",
    "default": "default",
}


def _table(caption: str, columns: tuple[str, ...], rows: str) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope='col'>{column}</th>" for column in columns)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _resolve(node: Document, document: Document) -> Document:
    if "$ref" not in node:
        return node
    section, name = node["$ref"].split("/")[-2:]
    found: Document = document["components"][section][name]
    return found


def _anchor(operation: Document) -> str:
    return escape(operation.get("operationId") or f"{operation['x-service']}-{id(operation)}")


def _summary(operation: Document) -> str:
    return str(operation.get("summary", ""))


def _short(path: str) -> str:
    return path.removeprefix("/v1/territories/{territory}") or "/"
