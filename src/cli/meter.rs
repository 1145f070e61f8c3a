//! Shows how far long work is: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::paint::harmless;

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(400);
/// Percent between two plain lines.
const STEP: u64 = 10;

/// Shows how far something is, on standard error.
pub(super) struct Meter {
    bar: ProgressBar,
    how: How,
    begun: Instant,
    /// The percentage of the last plain line, plus one; 0 before the first.
    told: AtomicU64,
}

/// How to show it where there is no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A bar at once, or lines.
    Always,
    /// A bar when it takes long; nothing without a terminal.
    WhenLong,
}

impl Meter {
    pub(super) fn new(how: How) -> Self {
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{bar:28} {percent:>3} %  {wide_msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, how, begun: Instant::now(), told: AtomicU64::new(0) }
    }

    /// Shows `percent`, and what is going on.
    pub(super) fn show(&self, percent: u64, message: &str) {
        if std::io::stderr().is_terminal() {
            self.draw(percent, message);
        } else if self.how == How::Always && self.is_news(percent) {
            eprintln!("{percent:>3} %  {}", harmless(message));
        }
    }

    /// Writes a line above the bar.
    pub(super) fn line(&self, text: &str) {
        let text = harmless(text);
        if std::io::stderr().is_terminal() { self.bar.println(text) } else { eprintln!("{text}") }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn draw(&self, percent: u64, message: &str) {
        if self.bar.is_hidden() {
            if self.how == How::WhenLong && self.begun.elapsed() < PATIENCE {
                return;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_message(harmless(message));
        self.bar.set_position(percent);
    }

    /// Whether this is far enough from the last line, which it then is.
    fn is_news(&self, percent: u64) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let news = told == 0 || percent + 1 >= told + STEP || (percent >= 100 && told <= 100);
        if news {
            self.told.store(percent + 1, Ordering::Relaxed);
        }
        news
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_ten_percent_apart_with_the_first_and_the_last() {
        let meter = Meter::new(How::Always);
        let told: Vec<u64> =
            [0, 1, 5, 9, 10, 19, 34, 40, 95, 100, 100].into_iter().filter(|p| meter.is_news(*p)).collect();
        assert_eq!(told, [0, 10, 34, 95, 100]);
    }
}
