//! `/statusz` and `/flagz`: what runs here and how it was started, as text for people and as objects of `config.k8s.io`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use apiserver_core::{Status, time};
use http::header::WARNING;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::paths::version;
use crate::app::App;
use crate::http::negotiate::{self, Encoding, Negotiated};
use crate::http::respond::{self, Answer};

const GROUP: &str = "config.k8s.io";
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
const DEPRECATED: &str = "v1alpha1";
const COMPONENT: &str = "kube-apiserver";
const WARNED: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees \
and is for debugging purposes only.";
/// First segments of paths that serve the API instead of telling about the server.
const API: [&str; 5] = ["/apis", "/api", "/openid", "/openapi", "/.well-known"];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Statusz,
    Flagz,
}

impl Page {
    fn kind(self) -> &'static str {
        match self {
            Self::Statusz => "Statusz",
            Self::Flagz => "Flagz",
        }
    }
}

/// The form a page is asked for in.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Text,
    Object(Encoding, &'static str),
}

/// Answers with a page in the form the client prefers.
pub(super) fn serve(app: &App, page: Page, headers: &HeaderMap) -> Result<Answer, Status> {
    let (encoding, version) = match form(page, &negotiate::accept(headers))? {
        Form::Text => return Ok(respond::text(StatusCode::OK, text(app, page))),
        Form::Object(encoding, version) => (encoding, version),
    };
    let form = Negotiated { encoding, gzip: negotiate::takes_gzip(headers), pretty: true, ..Negotiated::PLAIN };
    let mut answer = respond::value(StatusCode::OK, "", &object(app, page, version), form);
    if version == DEPRECATED {
        let name = page.kind().to_lowercase();
        let warning =
            format!("299 - \"This version of the {name} endpoint is deprecated. Please use a newer version.\"");
        if let Ok(warning) = HeaderValue::try_from(warning) {
            answer.headers_mut().insert(WARNING, warning);
        }
    }
    Ok(answer)
}

fn form(page: Page, accept: &str) -> Result<Form, Status> {
    if accept.trim().is_empty() {
        return Ok(Form::Text);
    }
    let entries = negotiate::parse_accept(accept);
    let found = entries.iter().find_map(|entry| {
        let encoding = match entry.media_type {
            "text/plain" | "text/*" | "*/*" => return Some(Form::Text),
            "application/json" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            _ => return None,
        };
        let version = VERSIONS.into_iter().find(|version| entry.parameter("v") == Some(version))?;
        let ours = entry.parameter("g") == Some(GROUP) && entry.parameter("as") == Some(page.kind());
        ours.then_some(Form::Object(encoding, version))
    });
    found.ok_or_else(|| Status::not_acceptable(&["application/json", "application/yaml", "text/plain"]))
}

fn object(app: &App, page: Page, group_version: &str) -> Value {
    let mut object = json!({
        "kind": page.kind(), "apiVersion": format!("{GROUP}/{group_version}"), "metadata": { "name": COMPONENT },
    });
    match page {
        Page::Flagz => object["flags"] = json!(app.options.flags),
        Page::Statusz => {
            let uptime = app.metrics.uptime();
            let (binary, emulated) = versions();
            object["startTime"] = time::seconds(started(app)).into();
            object["uptimeSeconds"] = uptime.as_secs().into();
            object["goVersion"] = version()["goVersion"].clone();
            object["binaryVersion"] = binary.into();
            object["emulationVersion"] = emulated.into();
            object["paths"] = folders(&app.documents.paths()).into();
        }
    }
    object
}

fn text(app: &App, page: Page) -> String {
    let mut text = String::new();
    match page {
        Page::Flagz => {
            let _ = writeln!(text, "\n{COMPONENT} flagz\n{WARNED}\n");
            for (name, value) in &app.options.flags {
                let _ = writeln!(text, "{name}={value}");
            }
        }
        Page::Statusz => {
            let seconds = app.metrics.uptime().as_secs();
            let (binary, emulated) = versions();
            let _ = writeln!(text, "\n{COMPONENT} statusz\n{WARNED}\n");
            let _ = writeln!(text, "Started: {}", started(app).strftime("%a %b %e %H:%M:%S UTC %Y"));
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let _ = writeln!(text, "Up: {hours} hr {minutes:02} min {:02} sec", seconds % 60);
            let _ = writeln!(text, "Go version: {}", version()["goVersion"].as_str().unwrap_or_default());
            let _ = writeln!(text, "Binary version: {binary}\nEmulation version: {emulated}");
            let _ = writeln!(text, "Paths: {}", folders(&app.documents.paths()).join(" "));
        }
    }
    text
}

fn started(app: &App) -> jiff::Timestamp {
    jiff::Timestamp::now() - app.metrics.uptime()
}

/// The version of the program and that of the API it serves.
fn versions() -> (String, String) {
    let version = version();
    let of = |name: &str| version[name].as_str().unwrap_or_default().to_owned();
    (of("gitVersion").trim_start_matches('v').to_owned(), format!("{}.{}", of("emulationMajor"), of("emulationMinor")))
}

/// The first segments of paths, but those of the API.
fn folders(paths: &[String]) -> Vec<String> {
    let folders = paths.iter().filter_map(|path| path.split('/').nth(1)).filter(|folder| !folder.is_empty());
    let folders: BTreeSet<String> = folders.map(|folder| format!("/{folder}")).collect();
    folders.into_iter().filter(|folder| !API.contains(&folder.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_text_unless_an_object_is_asked_for_in_full() {
        let form = |accept: &str| form(Page::Statusz, accept).map_err(|status| status.code);
        for text in [
            "",
            "text/plain",
            "text/plain; charset=utf-8",
            "*/*",
            "application/json;v=v9;g=config.k8s.io;as=Statusz,*/*",
        ] {
            assert_eq!(form(text), Ok(Form::Text), "{text}");
        }
        for (accept, encoding, version) in [
            ("application/json;v=v1beta1;g=config.k8s.io;as=Statusz", Encoding::Json, "v1beta1"),
            ("application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz", Encoding::Yaml, "v1beta1"),
            (
                "application/json;v=v1alpha1;g=config.k8s.io;as=Statusz,application/json;v=v1beta1;g=config.k8s.io;as=Statusz",
                Encoding::Json,
                "v1alpha1",
            ),
        ] {
            assert_eq!(form(accept), Ok(Form::Object(encoding, version)), "{accept}");
        }
        for accept in [
            "application/json",
            "application/xml",
            "application/json;v=v1beta1;g=config.k8s.io",
            "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
            "application/cbor;v=v1beta1;g=config.k8s.io;as=Statusz",
        ] {
            assert_eq!(form(accept), Err(406), "{accept}");
        }
    }

    #[test]
    fn folders_are_those_that_tell_about_the_server() {
        let paths = ["/", "/api/v1", "/apis", "/livez/ping", "/livez", "/metrics/slis", "/openapi/v2", "/version"];
        assert_eq!(folders(&paths.map(str::to_owned)), ["/livez", "/metrics", "/version"]);
    }
}
