//! Why there is no answer, said by what helps: waiting, another model, more money, another request, or nothing.

use std::time::Duration;

/// Why a model did not answer. No message carries a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such provider, or it has no key, or no model was named and it has none to offer.
    #[error("{0}")]
    NotConfigured(String),
    /// The provider does not take the key.
    #[error("{provider} does not accept the key: {message}")]
    Auth {
        /// Who.
        provider: String,
        /// In its words.
        message: String,
    },
    /// The account at the provider is out of money; waiting does not help.
    #[error("the account at {provider} has no credit left: {message}")]
    NoCredit {
        /// Who.
        provider: String,
        /// In its words.
        message: String,
    },
    /// Too many requests or tokens for now, by the provider's count or ours.
    #[error("{provider} takes no more requests for now: {message}")]
    RateLimited {
        /// Who.
        provider: String,
        /// In its words.
        message: String,
        /// When to come back, if that was said.
        retry_after: Option<Duration>,
    },
    /// The provider has trouble of its own.
    #[error("{provider} is overloaded or broken: {message}")]
    Overloaded {
        /// Who.
        provider: String,
        /// In its words.
        message: String,
        /// When to come back, if that was said.
        retry_after: Option<Duration>,
    },
    /// The provider could not be reached.
    #[error("{provider} cannot be reached: {message}")]
    Unreachable {
        /// Who.
        provider: String,
        /// What happened.
        message: String,
    },
    /// The answer ended before it was whole.
    #[error("the answer of {provider} broke off")]
    Cut {
        /// Who.
        provider: String,
    },
    /// No answer within the time there is (`llm.timeout_seconds`, `llm.silence_seconds`).
    #[error("{provider} did not answer in time")]
    Timeout {
        /// Who.
        provider: String,
    },
    /// The conversation is longer than the model can read.
    #[error("the conversation is too long for the model: {message}")]
    ContextTooLong {
        /// In the provider's words.
        message: String,
    },
    /// The provider does not let the model see this.
    #[error("the provider refuses this request: {message}")]
    Refused {
        /// In its words.
        message: String,
    },
    /// The request cannot be meant, by the provider's judgement or ours.
    #[error("the request is not valid: {message}")]
    Invalid {
        /// Whose judgement it is, in its words.
        message: String,
    },
    /// What came back is not in the form that was agreed on, or larger than any answer.
    #[error("the answer of {provider} cannot be read: {message}")]
    Unreadable {
        /// Who.
        provider: String,
        /// What is wrong with it.
        message: String,
    },
    /// The call might cost more than a budget has left.
    #[error(
        "the budget for {budget} has {left_micros} micro-dollars left, and this call may cost {needed_micros}"
    )]
    BudgetExceeded {
        /// What the budget is for, such as `job …`.
        budget: String,
        /// Neither spent nor reserved.
        left_micros: i64,
        /// The call at its worst.
        needed_micros: i64,
    },
    /// There is a budget to keep, and nobody knows what this model costs.
    #[error("a budget applies, and the price of {model} by {provider} is not known (see llm.prices_file)")]
    PriceUnknown {
        /// Who.
        provider: String,
        /// Which model.
        model: String,
    },
    /// Whoever asked does not want the answer any more.
    #[error("the call was stopped")]
    Stopped,
    /// Our own database does not answer, so that budgets cannot be kept.
    #[error("the budgets cannot be looked at: {0}")]
    Store(String),
}

impl Error {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured(_) => "LLM_NOT_CONFIGURED",
            Self::Auth { .. } => "LLM_KEY_REFUSED",
            Self::NoCredit { .. } => "LLM_NO_CREDIT",
            Self::RateLimited { .. } => "LLM_RATE_LIMITED",
            Self::Overloaded { .. } => "LLM_OVERLOADED",
            Self::Unreachable { .. } => "LLM_UNREACHABLE",
            Self::Cut { .. } => "LLM_CUT",
            Self::Timeout { .. } => "LLM_TIMEOUT",
            Self::ContextTooLong { .. } => "LLM_CONTEXT_TOO_LONG",
            Self::Refused { .. } => "LLM_REFUSED",
            Self::Invalid { .. } => "LLM_INVALID_REQUEST",
            Self::Unreadable { .. } => "LLM_UNREADABLE",
            Self::BudgetExceeded { .. } => "BUDGET_EXCEEDED",
            Self::PriceUnknown { .. } => "LLM_PRICE_UNKNOWN",
            Self::Stopped => "LLM_STOPPED",
            Self::Store(_) => "LLM_STORE_UNAVAILABLE",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Overloaded { .. }
                | Self::Unreachable { .. }
                | Self::Cut { .. }
                | Self::Timeout { .. }
                | Self::Unreadable { .. }
                | Self::Store(_)
        )
    }

    /// When to come back, if that was said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Overloaded { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the provider itself failed, so that others who would ask it are spared the wait.
    pub(super) fn counts_against_provider(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. } | Self::Unreachable { .. } | Self::Cut { .. } | Self::Timeout { .. }
        )
    }

    /// Whether the next model of a list may do what this one did not.
    pub(super) fn lets_another_try(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Store(_))
            || matches!(
                self,
                Self::NotConfigured(_)
                    | Self::Auth { .. }
                    | Self::NoCredit { .. }
                    | Self::PriceUnknown { .. }
            )
    }
}
