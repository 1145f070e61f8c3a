//! A report in the formats that people and other tools read.

mod csv;
mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod sarif;

use crate::analysis::Report;

/// A format and how to write it.
pub struct Format {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// The extension of its files, without the dot.
    pub extension: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Writes a report.
    pub write: fn(&Report) -> Result<Vec<u8>, Error>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not fit into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It did not fit into CSV.
    #[error("cannot write CSV: {0}")]
    Csv(#[from] ::csv::Error),
}

/// Every format.
pub static FORMATS: &[Format] = &[
    Format { name: "json", extension: "json", media_type: "application/json", write: json::write },
    Format { name: "sarif", extension: "sarif", media_type: "application/sarif+json", write: sarif::write },
    Format {
        name: "markdown",
        extension: "md",
        media_type: "text/markdown; charset=utf-8",
        write: markdown::write,
    },
    Format { name: "csv", extension: "csv", media_type: "text/csv; charset=utf-8", write: csv::write },
    Format { name: "gitlab", extension: "json", media_type: "application/json", write: gitlab::write },
    Format { name: "junit", extension: "xml", media_type: "application/xml", write: junit::write },
    Format {
        name: "github",
        extension: "txt",
        media_type: "text/plain; charset=utf-8",
        write: github::write,
    },
];

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// A value of one of the model's enums as the report writes it, for example `high`.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
