//! The log for machines: one flat JSON object a line, with the fields of the spans around it, so that `request_id`
//! and `job_id` can be searched for in every line.

use std::cell::RefCell;
use std::fmt::{Debug, Display, Write as _};
use std::io::Write;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// Writes each event as a line of JSON.
pub(super) struct JsonLines<W> {
    to: W,
    clock: Clock,
}

impl<W> JsonLines<W> {
    pub(super) fn new(to: W, clock: Clock) -> Self {
        Self { to, clock }
    }
}

/// Fields of a span, with their values as JSON text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        LINE.with(|line| {
            // Taken already only if writing a line logs something itself: then that is lost rather than tangled.
            let Ok(mut line) = line.try_borrow_mut() else { return };
            line.clear();
            self.write(&mut line, event, &context);
            // Where the log cannot be written, there is nowhere to say so.
            let _ = self.to.make_writer_for(event.metadata()).write_all(line.as_bytes());
        });
    }
}

impl<W> JsonLines<W> {
    fn write<S>(&self, line: &mut String, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (metadata, mut fields) = (event.metadata(), Fields::default());
        event.record(&mut fields);
        let now = self.clock.now().format("%Y-%m-%dT%H:%M:%S%.6fZ");
        let _ = write!(line, r#"{{"timestamp":"{now}","level":"{}""#, metadata.level());
        let _ = write!(line, r#","target":{}"#, quoted(metadata.target()));
        for (name, value) in &fields.0 {
            let _ = write!(line, r#","{name}":{value}"#);
        }
        let mut seen: Vec<&str> = vec!["timestamp", "level", "target"];
        seen.extend(fields.0.iter().map(|(name, _)| *name));
        // From the innermost outwards: the nearest says it best, and no name stands twice in one object.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (name, value) in &fields.0 {
                    if !seen.contains(name) {
                        seen.push(name);
                        let _ = write!(line, r#","{name}":{value}"#);
                    }
                }
            }
        }
        line.push_str("}\n");
    }
}

impl Fields {
    fn set(&mut self, field: &Field, json: String) {
        let name = field.name();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json,
            None => self.0.push((name, json)),
        }
    }

    fn set_number(&mut self, field: &Field, number: impl Display) {
        self.set(field, number.to_string());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, quoted(&format!("{value:?}")));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set_number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set_number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set_number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        self.set(field, Value::from(value).to_string());
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
