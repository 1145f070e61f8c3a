//! Fetches one page of the web as text, with the same care as repositories: only by https, only from public
//! addresses, every redirect checked anew.

use std::net::SocketAddr;
use std::time::Duration;

use futures::TryStreamExt;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use url::Url;

use super::remote::{Remote, Sort};
use super::{Error, Limits};

/// What is read of a page, how long that may take, and how often it may point elsewhere.
const MOST_BYTES: usize = 2 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 5;
/// Columns of the text that is made of HTML.
const WIDTH: usize = 100;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it was in the end.
    pub url: String,
    /// What it says, without markup.
    pub text: String,
}

/// Whether a host may be asked at a port.
pub type Allows<'a> = dyn Fn(&str, u16) -> bool + Sync + 'a;

/// Fetches a page from a host that `allows` lets through, which is asked again for every redirect.
pub async fn fetch(url: &str, allows: &Allows<'_>, limits: &Limits) -> Result<Page, Error> {
    let fetching = async {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            match step(&url, allows, limits).await? {
                Step::Here(page) => return Ok(page),
                Step::Elsewhere(next) => url = next,
            }
        }
        Err(remote("the page points elsewhere again and again", false))
    };
    tokio::time::timeout(PATIENCE, fetching)
        .await
        .unwrap_or_else(|_| Err(remote("the page took too long", true)))
}

enum Step {
    Here(Page),
    Elsewhere(String),
}

async fn step(url: &str, allows: &Allows<'_>, limits: &Limits) -> Result<Step, Error> {
    let place = Remote::parse_as(Sort::Page, url, limits)?;
    if !allows(&place.host(), place.port()) {
        return Err(Error::Forbidden(format!("pages of the host `{}` are not allowed", place.host())));
    }
    let address = SocketAddr::new(place.resolve(limits).await?, 0);
    // Whoever comes first; everybody here takes the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        // The address that was checked is the one that is used, whatever the name means by then.
        .resolve(&place.host(), address)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("codeyard/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Io("prepare a request", std::io::Error::other(error)))?;
    let answer = client.get(place.url()).send().await.map_err(|error| unreachable(&error))?;
    if answer.status().is_redirection() {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let base = Url::parse(place.url()).ok();
        let next = base.zip(location).and_then(|(base, location)| base.join(location).ok());
        let next = next.ok_or_else(|| remote("the page points nowhere", false))?;
        return Ok(Step::Elsewhere(next.to_string()));
    }
    if !answer.status().is_success() {
        let transient = answer.status().is_server_error();
        return Err(remote(&format!("the page answered {}", answer.status().as_u16()), transient));
    }
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or("text/html").to_ascii_lowercase();
    let is_html = kind.contains("html");
    if !is_html && !kind.starts_with("text/") && !kind.contains("json") && !kind.contains("xml") {
        return Err(remote("the page is no text", false));
    }
    let mut bytes = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(piece) = stream.try_next().await.map_err(|error| unreachable(&error))? {
        bytes.extend_from_slice(&piece[..piece.len().min(MOST_BYTES - bytes.len())]);
        if bytes.len() == MOST_BYTES {
            break;
        }
    }
    let text = if is_html { plain(&bytes) } else { String::from_utf8_lossy(&bytes).into_owned() };
    Ok(Step::Here(Page { url: place.url().to_owned(), text }))
}

/// What a person would read of HTML.
fn plain(html: &[u8]) -> String {
    html2text::from_read(html, WIDTH).unwrap_or_else(|_| String::from_utf8_lossy(html).into_owned())
}

fn unreachable(error: &reqwest::Error) -> Error {
    // Without the address: it may be somebody's inner network's.
    let what = if error.is_connect() { "its host cannot be reached" } else { "the connection broke" };
    remote(&format!("the page cannot be fetched: {what}"), true)
}

fn remote(message: &str, transient: bool) -> Error {
    Error::Remote { message: message.to_owned(), transient }
}
