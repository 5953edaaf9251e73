//! The files of the page, each with what a browser must know of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gstwhisperstream::whisper::languages::{LANGUAGES, Language};
use serde::Serialize;

use crate::exchange::Exchange;

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $kind:ident, $name:literal) => {
        File {
            path: $path,
            kind: $kind,
            text: include_str!(concat!("files/", $name)),
        }
    };
}

const FILES: [File; 9] = [
    file!("/", HTML, "index.html"),
    file!("/page/page.css", CSS, "page.css"),
    file!("/page/page.js", JS, "page.js"),
    file!("/page/microphone.js", JS, "microphone.js"),
    file!("/page/session.js", JS, "session.js"),
    file!("/page/transcript.js", JS, "transcript.js"),
    file!("/page/subtitles.js", JS, "subtitles.js"),
    file!("/page/samples.js", JS, "samples.js"),
    file!("/page/icon.svg", SVG, "icon.svg"),
];

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Exchange> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(
            file.path,
            get(move |headers: HeaderMap| async move { serve(file, &headers) }),
        )
    })
}

fn serve(file: &File, headers: &HeaderMap) -> Response {
    let tag = tag(file.text);
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let guards = [
        (header::CONTENT_TYPE, file.kind),
        // Asked for each time, and answered with 304 until the program is another one.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = match is_known {
        true => (StatusCode::NOT_MODIFIED, guards).into_response(),
        false => (guards, file.text).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("microphone=(self), camera=(), geolocation=()"),
    );
    response
}

fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[derive(Serialize)]
pub(super) struct Languages {
    /// What a call speaks that asks for nothing.
    default: String,
    languages: Vec<Choice>,
}

#[derive(Serialize)]
struct Choice {
    code: &'static str,
    name: String,
}

/// Among which languages one can choose: all of Whisper's, or those of the operator's `languages`.
pub(super) async fn languages(State(exchange): State<Exchange>) -> impl IntoResponse {
    let settings = &exchange.policy().settings;
    let set = |name: &str| {
        let mut set = settings.iter().rev().filter(|setting| setting.name == name);
        set.next().map(|setting| setting.value.clone())
    };
    let default = ["language", "language-code"]
        .iter()
        .find_map(|name| set(name))
        .unwrap_or_else(|| "auto".into());
    let among: Option<Vec<Language>> = set("languages")
        .map(|list| list.split(',').filter_map(Language::parse).collect())
        .filter(|list: &Vec<_>| !list.is_empty());
    let mut languages: Vec<_> = among
        .unwrap_or_else(|| LANGUAGES.to_vec())
        .into_iter()
        .map(|language| Choice {
            code: language.code,
            name: capital(language.name),
        })
        .collect();
    languages.sort_by(|a, b| a.name.cmp(&b.name));
    let default = Language::parse(&default).map_or("auto", |language| language.code);
    let body = Languages {
        default: default.into(),
        languages,
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, serde_json::to_string(&body).unwrap_or_default())
}

fn capital(name: &str) -> String {
    let words = name.split(' ').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}
