//! A report in the formats that people and other tools read.

mod catalogue;
mod csv;
mod cyclonedx;
mod github;
mod gitlab;
mod html;
mod json;
mod junit;
mod markdown;
mod sarif;
mod schema;
mod xlsx;

use chrono::{DateTime, Utc};

use crate::analysis::Report;

pub use catalogue::{CATALOGUE_FORMATS, CatalogueEntry, CatalogueFormat, catalogue};
pub use schema::schema;

/// A report and what is known around it.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// The report.
    pub report: &'a Report,
    /// What the code is called.
    pub name: Option<&'a str>,
    /// The commit that the report is about.
    pub revision: Option<&'a str>,
    /// When the code was analysed. Without it, the same report gives the same bytes.
    pub date: Option<DateTime<Utc>>,
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(report: &'a Report) -> Self {
        Self { report, name: None, revision: None, date: None }
    }
}

/// A format and how to write it.
pub struct Format {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// The extension of its files, without the dot.
    pub extension: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Writes a report.
    pub write: fn(&Document<'_>) -> Result<Vec<u8>, Error>,
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
    /// It did not fit into a page.
    #[error("cannot write HTML: {0}")]
    Html(#[from] askama::Error),
    /// It did not fit into a workbook.
    #[error("cannot write a workbook: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
}

/// Every format.
pub static FORMATS: &[Format] = &[
    Format { name: "json", extension: "json", media_type: "application/json", write: json::write },
    Format { name: "sarif", extension: "sarif", media_type: "application/sarif+json", write: sarif::write },
    Format { name: "html", extension: "html", media_type: "text/html; charset=utf-8", write: html::write },
    Format {
        name: "markdown",
        extension: "md",
        media_type: "text/markdown; charset=utf-8",
        write: markdown::write,
    },
    Format {
        name: "xlsx",
        extension: "xlsx",
        media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        write: xlsx::write,
    },
    Format { name: "csv", extension: "csv", media_type: "text/csv; charset=utf-8", write: csv::write },
    Format {
        name: "cyclonedx",
        extension: "cdx.json",
        media_type: "application/vnd.cyclonedx+json; version=1.6",
        write: cyclonedx::write,
    },
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

/// At most so many characters of a text; the last of them says that there were more.
fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}
