//! The JSON Schema of the report, made of the same descriptions as the OpenAPI document.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::Error;
use crate::analysis::{Report, SCHEMA_VERSION};

/// JSON Schema (2020-12, as OpenAPI 3.1 uses it) of what the format `json` writes. New fields may come with any
/// release; `schema_version` grows when one changes its meaning or goes away, and the schema's `$id` with it.
pub fn schema() -> Result<Value, Error> {
    let mut parts = Vec::new();
    Report::schemas(&mut parts);
    let mut definitions = Map::new();
    for (name, part) in parts {
        definitions.insert(name, serde_json::to_value(part)?);
    }
    let mut schema = serde_json::to_value(Report::schema())?;
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!(format!("urn:codeyard:report:{SCHEMA_VERSION}"));
    schema["title"] = json!("Codeyard report");
    schema["properties"]["schema_version"]["const"] = json!(SCHEMA_VERSION);
    schema["$defs"] = Value::Object(definitions);
    relocate(&mut schema);
    Ok(schema)
}

/// Lets references point into this schema instead of an OpenAPI document.
fn relocate(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/$defs/");
            }
            fields.values_mut().for_each(relocate);
        }
        Value::Array(entries) => entries.iter_mut().for_each(relocate),
        _ => {}
    }
}
