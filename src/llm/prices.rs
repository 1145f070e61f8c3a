//! What tokens cost. Prices are whole micro-dollars per million tokens, and the cost of a call is computed in integers
//! and rounded up to the next micro-dollar, once per call.

use serde::Deserialize;

use super::Usage;

const BUILT_IN: &str = include_str!("prices.toml");
/// One picture, as tokens: more than any provider counts for one.
const PICTURE: i64 = 50_000;

/// All prices that are known.
#[derive(Clone, Debug)]
pub struct Prices {
    /// When the built-in ones were compared with the providers' pages.
    pub checked: String,
    /// The latest, and so the strongest, last.
    rows: Vec<Row>,
}

/// A table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    checked: String,
    #[serde(default)]
    model: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    provider: String,
    name: String,
    input: f64,
    cached: Option<f64>,
    cache_write: Option<f64>,
    output: f64,
    #[serde(default)]
    above: i64,
    max_output: Option<u32>,
}

#[derive(Clone, Debug)]
struct Row {
    provider: String,
    name: String,
    above: i64,
    tier: Tier,
    max_output: Option<u32>,
}

/// Micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Read.
    pub input: i64,
    /// Read from the provider's cache.
    pub cached: i64,
    /// Written to the provider's cache.
    pub cache_write: i64,
    /// Written.
    pub output: i64,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// By how long the conversation is, longest first: each holds above so many tokens.
    pub tiers: Vec<(i64, Tier)>,
    /// The most tokens that an answer can have, if that is known.
    pub max_output: Option<u32>,
}

impl Prices {
    /// The built-in ones, with those of a file on top, if it names one.
    pub fn load(file: &str) -> anyhow::Result<Self> {
        let mut prices = Self { checked: String::new(), rows: Vec::new() };
        prices.add(BUILT_IN)?;
        if !file.is_empty() {
            let read =
                std::fs::read_to_string(file).map_err(anyhow::Error::from).and_then(|text| prices.add(&text));
            read.map_err(|error| anyhow::anyhow!("llm.prices_file {file}: {error:#}"))?;
        }
        Ok(prices)
    }

    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        let table: Table = toml::from_str(text)?;
        let mut rows = Vec::new();
        for entry in table.model {
            let micros = |dollars: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "checked to be far below the limits of the type"
                )]
                let micros = (dollars * 1e6).round() as i64;
                anyhow::ensure!((0.0..1e6).contains(&dollars), "{}: {dollars} is no price", entry.name);
                Ok(micros)
            };
            let input = micros(entry.input)?;
            let tier = Tier {
                input,
                cached: entry.cached.map_or(Ok(input), micros)?,
                cache_write: entry.cache_write.map_or(Ok(input), micros)?,
                output: micros(entry.output)?,
            };
            let Entry { provider, name, above, max_output, .. } = entry;
            rows.push(Row { provider, name, above, tier, max_output });
        }
        // A model that is named again is described anew.
        self.rows.retain(|old| !rows.iter().any(|new| new.provider == old.provider && new.name == old.name));
        self.rows.extend(rows);
        if !table.checked.is_empty() {
            self.checked = table.checked;
        }
        Ok(())
    }

    /// What a model costs, if that is known; a date behind its name does not matter.
    pub fn of(&self, provider: &str, model: &str) -> Option<Price> {
        let named = self.rows.iter().filter(|row| row.provider == provider && is_named(model, &row.name));
        let name = &named.max_by_key(|row| row.name.len())?.name;
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.provider == provider && row.name == *name).collect();
        let mut tiers: Vec<_> = rows.iter().map(|row| (row.above, row.tier)).collect();
        tiers.sort_by_key(|(above, _)| std::cmp::Reverse(*above));
        Some(Price { tiers, max_output: rows.iter().filter_map(|row| row.max_output).max() })
    }
}

impl Price {
    /// What costs nothing.
    pub fn free() -> Self {
        let tier = Tier { input: 0, cached: 0, cache_write: 0, output: 0 };
        Self { tiers: vec![(0, tier)], max_output: None }
    }

    /// Micro-dollars for these tokens, rounded up.
    pub fn cost(&self, usage: &Usage) -> i64 {
        let Some(tier) = self.tier(usage.input_tokens) else { return 0 };
        let plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens;
        let parts = [
            (plain, tier.input),
            (usage.cached_input_tokens, tier.cached),
            (usage.cache_write_tokens, tier.cache_write),
            (usage.output_tokens, tier.output),
        ];
        let sum: i128 = parts.iter().map(|(tokens, price)| i128::from(*tokens) * i128::from(*price)).sum();
        i64::try_from((sum + 999_999) / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Micro-dollars at the worst: nothing cached, everything written that may be, at the highest prices.
    pub fn worst(&self, input_tokens: i64, max_tokens: u32) -> i64 {
        let dearest =
            |price: fn(&Tier) -> i64| self.tiers.iter().map(|(_, tier)| price(tier)).max().unwrap_or(0);
        let input = dearest(|tier| tier.input.max(tier.cache_write));
        let output = dearest(|tier| tier.output);
        let sum = i128::from(input_tokens) * i128::from(input) + i128::from(max_tokens) * i128::from(output);
        i64::try_from((sum + 999_999) / 1_000_000).unwrap_or(i64::MAX)
    }

    fn tier(&self, input_tokens: i64) -> Option<Tier> {
        let fits = self.tiers.iter().find(|(above, _)| input_tokens > *above || *above == 0);
        fits.or(self.tiers.last()).map(|(_, tier)| *tier)
    }
}

/// The most tokens that a request can have: no token stands for less than a byte, and what a provider adds of its own
/// (the frame of each turn, how to call tools) is allowed for.
pub(super) fn most_tokens(request: &super::Request) -> i64 {
    let parts: i64 = request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .map(|part| match part {
            super::Part::Image { data, .. } => length(data).min(PICTURE),
            super::Part::Text { text } => length(text),
            super::Part::Reasoning { text, signature } => {
                length(text) + signature.as_ref().map_or(0, |signature| length(&signature.data))
            }
            super::Part::ToolCall(call) => length(&call.name) + length(&call.arguments.to_string()),
            super::Part::ToolResult { content, .. } => length(content),
        })
        .sum();
    let tools: i64 = request
        .tools
        .iter()
        .map(|tool| {
            length(&tool.name) + length(&tool.description) + length(&tool.parameters.to_string()) + 32
        })
        .sum();
    let schema =
        request.response_schema.as_ref().map_or(0, |wanted| length(&wanted.schema.to_string()) + 256);
    let turns = i64::try_from(request.messages.len()).unwrap_or(i64::MAX).saturating_mul(16);
    parts + tools + schema + turns + if request.tools.is_empty() { 64 } else { 1024 }
}

/// What so many bytes of text are likely to be in tokens.
pub(super) fn likely_tokens(bytes: i64) -> i64 {
    bytes / 4 + 1
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// Whether a model is called so, perhaps with a date behind: `-20250929`, `-2025-08-07`, `-251015`.
fn is_named(model: &str, name: &str) -> bool {
    let Some(rest) = model.strip_prefix(name) else { return false };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    rest.is_empty()
        || rest == "-latest"
        || (rest.starts_with('-')
            && digits >= 6
            && rest.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn prices() -> Prices {
        Prices::load("").unwrap()
    }

    fn usage(
        input_tokens: i64,
        cached_input_tokens: i64,
        cache_write_tokens: i64,
        output_tokens: i64,
    ) -> Usage {
        Usage { input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens: 0 }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let sonnet = prices().of("anthropic", "claude-sonnet-4-5-20250929").unwrap();
        // 100 at $3, 1000 at $0.30, 200 at $3.75, 50 at $15, all per million: 300 + 300 + 750 + 750 micro-dollars.
        assert_eq!(sonnet.cost(&usage(1300, 1000, 200, 50)), 2100);
        assert_eq!((sonnet.cost(&usage(0, 0, 0, 0)), sonnet.cost(&usage(1, 1, 0, 0))), (0, 1));
        let nano = prices().of("openai", "gpt-5-nano").unwrap();
        assert_eq!(nano.cost(&usage(21, 0, 0, 0)), 2, "21 tokens at 0.05 are 1.05");
    }

    #[test]
    fn a_long_conversation_is_dearer_as_a_whole_and_the_worst_is_never_less_than_the_cost() {
        let pro = prices().of("gemini", "gemini-2.5-pro").unwrap();
        assert_eq!(pro.cost(&usage(200_000, 0, 0, 1000)), 250_000 + 10_000);
        assert_eq!(pro.cost(&usage(200_001, 0, 0, 1000)), 500_003 + 15_000);
        for (input, output) in [(0, 0), (10, 5), (200_000, 1000), (300_000, 65_536)] {
            assert!(
                pro.worst(input, u32::try_from(output).unwrap()) >= pro.cost(&usage(input, 0, 0, output))
            );
        }
    }

    #[test]
    fn only_a_date_may_stand_behind_a_name() {
        let prices = prices();
        let known = |model: &str| prices.of("openai", model).map(|price| price.tiers[0].1.output);
        assert_eq!(known("gpt-5-2025-08-07"), Some(10_000_000));
        assert_eq!(known("gpt-5-mini"), Some(2_000_000));
        assert_eq!((known("gpt-5-pro"), known("gpt-55"), known("gpt-5-9")), (None, None, None));
        assert_eq!(prices.of("deepseek", "gpt-5"), None);
    }

    #[test]
    fn a_file_describes_models_anew_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prices.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Prices::load(file.to_str().unwrap())
        };
        let own = "model = [{ provider = \"gemini\", name = \"gemini-2.5-pro\", input = 1, output = 2 },
            { provider = \"mine\", name = \"m\", input = 0.000001, output = 0 }]";
        let prices = load(own).unwrap();
        assert_eq!(prices.of("gemini", "gemini-2.5-pro").unwrap().tiers.len(), 1);
        assert_eq!(prices.of("mine", "m").unwrap().tiers[0].1.input, 1);
        assert!(load("model = [{ provider = \"a\", name = \"b\", input = -1, output = 2 }]").is_err());
        assert!(load("models = []").is_err() && Prices::load("no/such/file").is_err());
    }

    #[test]
    fn the_models_that_are_offered_are_priced_where_prices_are_published_in_dollars() {
        let prices = prices();
        for (name, provider) in Config::defaults().unwrap().llm.providers {
            for model in provider.models {
                let in_yuan = ["baidu", "doubao"].contains(&name.as_str()) || model == "qwen-plus";
                assert_eq!(prices.of(&name, &model).is_none(), in_yuan, "{name} {model}");
            }
        }
    }
}
