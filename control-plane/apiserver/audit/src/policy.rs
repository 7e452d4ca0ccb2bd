//! The audit policy: which request is written about, and how much.

#[cfg(test)]
mod tests;

use std::fmt;

use field::names::dns_subdomain;
use field::{Errors, Path};
use serde::Deserialize;
use serde_json::Value;

use crate::event::{Level, Stage};

/// What is asked of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// The verb.
    pub verb: &'a str,
    /// What the request is about; nothing if it is no resource.
    pub resource: Option<Resource<'a>>,
    /// The path without the query.
    pub path: &'a str,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for what is in no namespace.
    pub namespace: &'a str,
    /// Empty for a collection.
    pub name: &'a str,
}

/// Some of the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages(u8);

impl Stages {
    /// Whether a stage is among them.
    pub fn contains(self, stage: Stage) -> bool {
        self.0 & Self::bit(stage) != 0
    }

    fn of(stages: &[Stage]) -> Self {
        Self(stages.iter().fold(0, |bits, stage| bits | Self::bit(*stage)))
    }

    fn bit(stage: Stage) -> u8 {
        match stage {
            Stage::RequestReceived => 1,
            Stage::ResponseStarted => 2,
            Stage::ResponseComplete => 4,
            Stage::Panic => 8,
        }
    }
}

/// What is written about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How much.
    pub level: Level,
    /// At which stages nothing.
    pub omit_stages: Stages,
    /// Whether bodies are written without their managed fields.
    pub omit_managed_fields: bool,
}

/// A policy that was checked.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<(Rule, Plan)>,
    otherwise: Plan,
}

/// Why a policy was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It could not be read.
    Document(strict::Error),
    /// It was read and is wrong.
    Invalid(Errors),
    /// It has no rules.
    Empty,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => write!(out, "failed decoding: {error}"),
            Self::Invalid(errors) => errors.fmt(out),
            Self::Empty => out.write_str("loaded illegal policy with 0 rules"),
        }
    }
}

impl std::error::Error for Error {}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw {
    #[serde(rename = "metadata")]
    _metadata: Value,
    rules: Vec<Rule>,
    omit_stages: Vec<String>,
    omit_managed_fields: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

const KIND: strict::Kind<'static> = strict::Kind { group: "audit.k8s.io", versions: &["v1"], kind: "Policy" };

impl Policy {
    /// Reads a policy, in YAML or JSON.
    pub fn read(text: &str) -> Result<Self, Error> {
        let raw: Raw = strict::read(text, KIND).map_err(Error::Document)?;
        let mut errors = Errors::new();
        let everywhere = check_stages(&raw.omit_stages, &Path::new("omitStages"), &mut errors);
        let mut rules = Vec::with_capacity(raw.rules.len());
        for (index, rule) in raw.rules.into_iter().enumerate() {
            let path = Path::new("rules").index(index);
            let (level, stages) = check_rule(&rule, &path, &mut errors);
            let plan = Plan {
                level,
                omit_stages: Stages(everywhere.0 | stages.0),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(raw.omit_managed_fields),
            };
            rules.push((rule, plan));
        }
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if rules.is_empty() {
            return Err(Error::Empty);
        }
        let omit_managed_fields = raw.omit_managed_fields;
        Ok(Self { rules, otherwise: Plan { level: Level::None, omit_stages: everywhere, omit_managed_fields } })
    }

    /// What is written about a request: the first rule that fits says so. Nothing if none does.
    pub fn plan(&self, request: &Attributes<'_>) -> Plan {
        self.rules.iter().find(|(rule, _)| rule.fits(request)).map_or(self.otherwise, |(_, plan)| *plan)
    }
}

fn check_rule(rule: &Rule, path: &Path, errors: &mut Errors) -> (Level, Stages) {
    let at = path.child("level");
    let level = match rule.level.as_str() {
        "None" => Level::None,
        "Metadata" => Level::Metadata,
        "Request" => Level::Request,
        "RequestResponse" => Level::RequestResponse,
        "" => {
            errors.required(&at, "");
            Level::None
        }
        other => {
            errors.not_supported(&at, other, &["Metadata", "None", "Request", "RequestResponse"]);
            Level::None
        }
    };
    let urls = path.child("nonResourceURLs");
    for (index, url) in rule.non_resource_urls.iter().enumerate().filter(|(_, url)| *url != "*") {
        let at = urls.index(index);
        if !url.starts_with('/') {
            errors.invalid(&at, url.as_str(), "non-resource URL rules must begin with a '/' character");
        }
        if url.find('*').is_some_and(|star| star + 1 < url.len()) {
            let message = "non-resource URL wildcards '*' must be the final character of the rule";
            errors.invalid(&at, url.as_str(), message);
        }
    }
    let resources = path.child("resources");
    for one in &rule.resources {
        let wrong = if one.group.is_empty() { Vec::new() } else { dns_subdomain(&one.group) };
        if !wrong.is_empty() {
            errors.invalid(&resources.child("group"), one.group.as_str(), &wrong.join(","));
        }
        if !one.resource_names.is_empty() && one.resources.is_empty() {
            let message = "using resourceNames requires at least one resource";
            errors.invalid(&resources.child("resourceNames"), one.resource_names.as_slice(), message);
        }
    }
    let stages = check_stages(&rule.omit_stages, &path.child("omitStages"), errors);
    let about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if about_resources && !rule.non_resource_urls.is_empty() {
        let message = "rules cannot apply to both regular resources and non-resource URLs";
        errors.invalid(&urls, rule.non_resource_urls.as_slice(), message);
    }
    (level, stages)
}

fn check_stages(names: &[String], path: &Path, errors: &mut Errors) -> Stages {
    let mut stages = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match name.as_str() {
            "RequestReceived" => stages.push(Stage::RequestReceived),
            "ResponseStarted" => stages.push(Stage::ResponseStarted),
            "ResponseComplete" => stages.push(Stage::ResponseComplete),
            "Panic" => stages.push(Stage::Panic),
            other => errors.invalid(
                &path.index(index),
                other,
                "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
            ),
        }
    }
    Stages::of(&stages)
}

fn any_or_has(list: &[String], text: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one == text)
}

impl Rule {
    fn fits(&self, request: &Attributes<'_>) -> bool {
        let in_group =
            self.user_groups.is_empty() || request.groups.iter().any(|group| self.user_groups.contains(group));
        if !any_or_has(&self.users, request.user) || !in_group || !any_or_has(&self.verbs, request.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return request.resource.is_some_and(|resource| self.fits_resource(&resource));
        }
        self.non_resource_urls.is_empty()
            || request.resource.is_none() && self.non_resource_urls.iter().any(|url| fits_path(url, request.path))
    }

    fn fits_resource(&self, asked: &Resource<'_>) -> bool {
        any_or_has(&self.namespaces, asked.namespace)
            && (self.resources.is_empty() || self.resources.iter().any(|one| one.fits(asked)))
    }
}

impl GroupResources {
    fn fits(&self, asked: &Resource<'_>) -> bool {
        if self.group != asked.group {
            return false;
        }
        self.resources.is_empty()
            || any_or_has(&self.resource_names, asked.name)
                && self.resources.iter().any(|pattern| fits_name(pattern, asked))
    }
}

/// `pods`, `pods/log`, `pods/*` (the pods, too), `*/scale`, `*`.
fn fits_name(pattern: &str, asked: &Resource<'_>) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || asked.subresource.is_empty() && pattern == asked.resource,
        Some((resource, "*")) => resource == asked.resource,
        Some(("*", subresource)) => !asked.subresource.is_empty() && subresource == asked.subresource,
        Some((resource, subresource)) => {
            !asked.subresource.is_empty() && resource == asked.resource && subresource == asked.subresource
        }
    }
}

fn fits_path(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}
