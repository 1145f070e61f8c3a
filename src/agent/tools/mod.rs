//! What a model can do: one file each, all of them in one list.
//!
//! A tool is a name, a description that the model reads, a type for its arguments (whose JSON Schema the model gets
//! too) and one function. Its errors are written for the model: each says what to do next.

mod analyze;
mod apply_patch;
mod ask_approval;
mod edit_file;
mod error;
mod fetch_page;
mod finish;
mod list_files;
mod read_file;
mod run_command;
mod run_tests;
mod search_files;
mod submit_plan;
mod submit_requirements;
mod undo;
mod write_file;

use std::sync::LazyLock;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bench::Bench;
use crate::llm;

pub use error::Error;
pub use submit_plan::{Plan, PlannedFile};
pub use submit_requirements::Requirements;

/// Every tool there is.
pub(super) static ALL: LazyLock<[Entry; 15]> = LazyLock::new(|| {
    [
        entry::<read_file::ReadFile>(),
        entry::<list_files::ListFiles>(),
        entry::<search_files::SearchFiles>(),
        entry::<write_file::WriteFile>(),
        entry::<edit_file::EditFile>(),
        entry::<apply_patch::ApplyPatch>(),
        entry::<run_command::RunCommand>(),
        entry::<run_tests::RunTests>(),
        entry::<analyze::Analyze>(),
        entry::<fetch_page::FetchPage>(),
        entry::<ask_approval::AskApproval>(),
        entry::<undo::Undo>(),
        entry::<submit_requirements::SubmitRequirements>(),
        entry::<submit_plan::SubmitPlan>(),
        entry::<finish::Finish>(),
    ]
});

/// What a tool does to the world; it decides when the tool is offered and what is written down before it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// It looks, and may be repeated at will.
    Look,
    /// It changes files, which a restart undoes and does again.
    Change,
    /// It starts somebody else's program: what that does is not repeated without being told.
    Run,
    /// It asks a person.
    Ask,
    /// It hands something in and ends a phase.
    Submit,
}

/// One tool.
pub(super) trait Tool {
    /// Its name, in snake case.
    const NAME: &'static str;
    /// What it does and when to use it, for the model.
    const DESCRIPTION: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;
    /// What it is called with.
    type Arguments: DeserializeOwned + JsonSchema + Send;

    /// Does it.
    fn call(
        arguments: Self::Arguments,
        bench: &Bench<'_>,
    ) -> impl Future<Output = Result<Reply, Error>> + Send;
}

/// What a tool answers.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// In our own words.
    pub(super) note: String,
    /// In the words of a file, a command or a page: where it comes from, and what it says.
    pub(super) data: Option<(String, String)>,
    /// The file of the job that has all of it, where that is not it.
    pub(super) artifact: Option<String>,
    /// What is handed in.
    pub(super) submitted: Option<Value>,
    /// What a person is asked.
    pub(super) question: Option<String>,
}

impl Reply {
    /// An answer in our own words.
    pub(super) fn note(note: impl Into<String>) -> Self {
        Self { note: note.into(), ..Self::default() }
    }

    /// Adds what a file, a command or a page says.
    #[must_use]
    pub(super) fn data(self, from: impl Into<String>, text: impl Into<String>) -> Self {
        Self { data: Some((from.into(), text.into())), ..self }
    }
}

/// A tool as the list has it.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    description: &'static str,
    schema: Value,
    call: for<'a> fn(Value, &'a Bench<'a>) -> BoxFuture<'a, Result<Reply, Error>>,
}

impl Entry {
    /// The tool as a model is told of it.
    pub(super) fn offered(&self) -> llm::Tool {
        llm::Tool {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: self.schema.clone(),
        }
    }

    /// Calls it with what the model sent.
    pub(super) async fn call(&self, arguments: Value, bench: &Bench<'_>) -> Result<Reply, Error> {
        (self.call)(arguments, bench).await
    }
}

fn entry<T: Tool>() -> Entry {
    let mut settings = SchemaSettings::draft2020_12();
    // Some providers follow no references.
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T::Arguments>();
    schema.remove("title");
    Entry {
        name: T::NAME,
        effect: T::EFFECT,
        description: T::DESCRIPTION,
        schema: schema.to_value(),
        call: |arguments, bench| {
            Box::pin(async move {
                let arguments = read_arguments::<T::Arguments>(T::NAME, arguments)?;
                T::call(arguments, bench).await
            })
        },
    }
}

fn read_arguments<A: DeserializeOwned>(tool: &'static str, sent: Value) -> Result<A, Error> {
    let object = match sent {
        // What could not be read as JSON comes as it was sent; a call without arguments as nothing at all.
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|error| Error::NoJson { tool, why: error.to_string() })?
        }
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other,
    };
    serde_path_to_error::deserialize(object).map_err(|error| {
        let field = error.path().to_string();
        Error::BadArguments { tool, field, why: error.into_inner().to_string() }
    })
}

/// The tool of that name.
pub(super) fn find(name: &str) -> Result<&'static Entry, Error> {
    ALL.iter().find(|tool| tool.name == name).ok_or_else(|| Error::UnknownTool {
        name: name.chars().take(80).collect(),
        known: ALL.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_schema_is_an_object_without_references() {
        let mut names: Vec<_> = ALL.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for tool in ALL.iter() {
            let text = tool.schema.to_string();
            assert_eq!(tool.schema["type"], "object", "{}: {text}", tool.name);
            assert!(!text.contains("$ref") && !text.contains("$schema"), "{}: {text}", tool.name);
            assert!(tool.description.len() > 40, "{} says too little", tool.name);
            for (name, property) in tool.schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{}.{name} is not explained", tool.name);
            }
        }
    }

    #[test]
    fn an_unknown_tool_is_told_which_there_are() {
        let error = find("launch_rocket").map(|tool| tool.name).unwrap_err().to_string();
        assert!(error.contains("launch_rocket") && error.contains("write_file"), "{error}");
    }

    #[test]
    fn broken_arguments_are_named_by_their_field() {
        #[derive(serde::Deserialize, Debug)]
        struct Arguments {
            #[expect(dead_code, reason = "only its type matters")]
            line: u32,
        }
        let told = |value| read_arguments::<Arguments>("t", value).unwrap_err().to_string();
        assert!(told(Value::String("{\"line\": 1".to_owned())).contains("not valid JSON"));
        assert!(told(serde_json::json!({"line": "one"})).contains("`line`"));
        assert!(told(Value::Null).contains("missing field `line`"));
        assert!(read_arguments::<Arguments>("t", Value::String("{\"line\": 1}".to_owned())).is_ok());
    }
}
