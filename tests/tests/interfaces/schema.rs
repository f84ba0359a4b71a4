// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/reference/session.schema.json`: the messages as a JSON Schema, of the same sources as the page.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::forms::FORMS;
use crate::protocol::{Item, Row, all_items};
use crate::text::sentence;

/// The whole file.
pub fn text(root: &Path) -> String {
    let items = all_items(root);
    let by_name: BTreeMap<&str, &Item> = items.iter().map(|item| (&*item.name, item)).collect();
    let mut definitions = Map::new();
    for item in &items {
        let mut schema = match item.is_enum {
            true => enumeration(item, &by_name),
            false => object(&item.rows, &[], refuses_more(item)),
        };
        schema["description"] = sentence(&item.doc).into();
        definitions.insert(item.name.clone(), schema);
    }
    for form in &FORMS {
        definitions.insert(form.name.to_owned(), form.schema());
    }
    let schema = json!({
        "$comment": "SPDX-License-Identifier: MIT OR Apache-2.0. Generated from abi/session: CKI_WRITE=1 cargo test -p \
            cki-tests --test interfaces",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:cki:session:{}", cki_session::VERSION),
        "title": "CKI's session protocol",
        "description": "A message: what a client or a server says in one line. To be validated with `format` asserted.",
        "anyOf": [{ "$ref": "#/$defs/Request" }, { "$ref": "#/$defs/Event" }],
        "$defs": definitions,
    });
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

fn refuses_more(item: &Item) -> bool {
    item.attributes.contains("deny_unknown_fields")
}

/// An object with these fields, and before them some that have one value.
fn object(fields: &[Row], constants: &[(&str, &str)], refuses_more: bool) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, value) in constants {
        properties.insert((*name).to_owned(), json!({ "const": value }));
        required.push(*name);
    }
    for field in fields {
        // Of a variant, the name is behind that of the variant.
        let name = field.name.rsplit(": ").next().unwrap_or_default();
        let mut schema = of_type(&field.kind);
        schema["description"] = sentence(&field.doc).into();
        properties.insert(name.to_owned(), schema);
        if !field.is_optional {
            required.push(name);
        }
    }
    let mut schema = json!({ "type": "object", "properties": properties, "required": required });
    if refuses_more {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// One of several: in an object by its `type`, or as the one field of an object, or a name alone.
fn enumeration(item: &Item, items: &BTreeMap<&str, &Item>) -> Value {
    let tag = item.attributes.contains("tag = \"type\"").then_some("type");
    let mut all = Vec::new();
    let mut names = Vec::new();
    for variant in item.rows.iter().filter(|row| !row.name.contains(": ")) {
        let name = variant.name.as_str();
        names.push(name);
        let prefix = format!("{name}: ");
        let of_variant = item.rows.iter().filter(|row| row.name.starts_with(&prefix));
        let fields: Vec<Row> = of_variant.cloned().collect();
        let mut schema = match (tag, &*variant.kind) {
            (Some(tag), "") => object(&fields, &[(tag, name)], refuses_more(item)),
            (Some(tag), kind) => object(&items[kind].rows, &[(tag, name)], refuses_more(item)),
            (None, "") if fields.is_empty() => json!({ "const": name }),
            (None, "") => only(name, object(&fields, &[], false)),
            (None, kind) => only(name, of_type(kind)),
        };
        schema["description"] = sentence(&variant.doc).into();
        all.push(schema);
    }
    if tag.is_some() && !refuses_more(item) {
        all.push(json!({
            "type": "object",
            "properties": { "type": { "type": "string", "not": { "enum": names } } },
            "required": ["type"],
            "description": "Something that this schema does not know; whoever gets it ignores it.",
        }));
    }
    json!({ "oneOf": all })
}

/// An object with this field alone.
fn only(name: &str, schema: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: schema },
        "required": [name],
        "additionalProperties": false,
    })
}

/// What a type of Rust is in JSON.
fn of_type(kind: &str) -> Value {
    let inside = |outer: &str| kind.strip_prefix(outer)?.strip_suffix('>');
    if let Some(inner) = inside("Option<") {
        return of_type(inner);
    }
    if let Some(inner) = inside("Vec<") {
        return json!({ "type": "array", "items": of_type(inner) });
    }
    let number = |most: u64| json!({ "type": "integer", "minimum": 0, "maximum": most });
    match kind {
        "String" => json!({ "type": "string" }),
        "bool" => json!({ "type": "boolean" }),
        "u8" => number(u8::MAX.into()),
        "u16" => number(u16::MAX.into()),
        "u32" => number(u32::MAX.into()),
        "u64" => number(u64::MAX),
        "i32" => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        "(String, String)" => json!({
            "type": "array",
            "prefixItems": [{ "type": "string" }, { "type": "string" }],
            "minItems": 2,
            "maxItems": 2,
        }),
        name => {
            let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
            let is_name = is_name && name.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(is_name, "{name} is in no message that this test can read");
            json!({ "$ref": format!("#/$defs/{name}") })
        }
    }
}
