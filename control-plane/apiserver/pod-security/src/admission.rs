//! The decision about one request.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use field::Errors;
use serde_json::Value;

use crate::checks::{Verdict, judge};
use crate::configuration::Configuration;
use crate::existing::Existing;
use crate::level::{Level, LevelVersion};
use crate::pod::Pod;
use crate::policy::{self, PREFIX, Policy};
use crate::record::{Decision, Mode, Record};
use crate::significance::is_significant;

/// What a request does. Others than these are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Makes an object.
    Create,
    /// Changes an object.
    Update,
}

/// A request of which [`PodSecurity::handles`] is true.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it does.
    pub operation: Operation,
    /// The group of what it is about; empty for the core group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; for a namespace its own name.
    pub namespace: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// The object as it would be stored.
    pub object: &'a Value,
    /// The object as it is stored, of an update.
    pub old: Option<&'a Value>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// 403: `pods "x" is forbidden: ` comes before this.
    Forbidden(String),
    /// 422: labels of a namespace are wrong.
    Invalid(Errors),
    /// 500: `Internal error occurred: ` comes before this.
    Internal(String),
}

/// What there is to say to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Set if the request is refused.
    pub denial: Option<Denial>,
    /// For the client.
    pub warnings: Vec<String>,
    /// For the audit log, with complete keys.
    pub annotations: BTreeMap<String, String>,
    /// For the metrics.
    pub records: Vec<Record>,
    /// Set if pods of the namespace have to be looked at.
    pub existing: Option<Existing>,
}

/// The plugin.
#[derive(Debug, Clone, Default)]
pub struct PodSecurity {
    configuration: Configuration,
}

/// Subresources of pods that do not change what a pod may do. Others are looked at: a new one is rather refused than missed.
const HARMLESS: [&str; 8] = ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];

impl Request<'_> {
    /// Values of the labels `request_operation`, `resource` and `subresource` of every metric.
    pub fn labels(&self) -> [&str; 3] {
        let operation = match self.operation {
            Operation::Create => "create",
            Operation::Update => "update",
        };
        let resource = match (self.group, self.resource) {
            ("", "pods") => "pod",
            ("", "namespaces") => "namespace",
            _ => "controller",
        };
        [operation, resource, self.subresource]
    }
}

impl Answer {
    fn annotate(&mut self, key: &str, value: String) {
        self.annotations.insert(format!("{PREFIX}{key}"), value);
    }

    fn exempt(reason: &str) -> Self {
        let mut answer = Self { records: vec![Record::Exemption], ..Self::default() };
        answer.annotate("exempt", reason.to_owned());
        answer
    }

    fn count(&mut self, decision: Decision, policy: LevelVersion, mode: Mode) {
        self.records.push(Record::Evaluation { decision, policy, mode });
    }
}

impl PodSecurity {
    /// A plugin with a configuration.
    pub fn new(configuration: Configuration) -> Self {
        Self { configuration }
    }

    /// Whether creates and updates of a resource are looked at.
    pub fn handles(group: &str, resource: &str) -> bool {
        match group {
            "" => matches!(resource, "pods" | "namespaces" | "replicationcontrollers" | "podtemplates"),
            "apps" => matches!(resource, "replicasets" | "deployments" | "statefulsets" | "daemonsets"),
            "batch" => matches!(resource, "jobs" | "cronjobs"),
            _ => false,
        }
    }

    /// Decides. `namespace` is the namespace of the request's object, or why there is none; it is not used for namespaces.
    pub fn admit(&self, request: &Request<'_>, namespace: Result<&Value, &str>) -> Answer {
        match (request.group, request.resource) {
            ("", "namespaces") => self.admit_namespace(request),
            ("", "pods") => self.admit_pod(request, namespace),
            _ => self.admit_controller(request, namespace),
        }
    }

    fn admit_namespace(&self, request: &Request<'_>) -> Answer {
        if !request.subresource.is_empty() {
            return Answer::default();
        }
        let (new, errors) = policy::of_namespace(request.object, &self.configuration.defaults);
        let refuse = |errors| Answer { denial: Some(Denial::Invalid(errors)), ..Answer::default() };
        let Some(old) = request.old.filter(|_| request.operation == Operation::Update) else {
            return if errors.is_empty() { self.warn_if_exempt(request, &new) } else { refuse(errors) };
        };
        let (old, old_errors) = policy::of_namespace(old, &self.configuration.defaults);
        if !errors.is_empty() && errors != old_errors {
            return refuse(errors);
        }
        let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
        if new.enforce == old.enforce || new.enforce.level == Level::Privileged || relaxed {
            return Answer::default();
        }
        if self.configuration.exemptions.namespaces.contains(request.namespace) {
            return self.warn_if_exempt(request, &new);
        }
        let existing = Existing {
            namespace: request.namespace.to_owned(),
            policy: new.enforce,
            exempt_classes: self.configuration.exemptions.runtime_classes.clone(),
        };
        Answer { existing: Some(existing), ..Answer::default() }
    }

    /// Says that labels are without effect where the namespace is exempt.
    fn warn_if_exempt(&self, request: &Request<'_>, policy: &Policy) -> Answer {
        let exempt = self.configuration.exemptions.namespaces.contains(request.namespace);
        if !exempt || policy.is_privileged() || policy.is_equivalent(&self.configuration.defaults) {
            return Answer::default();
        }
        let said = policy.modes().into_iter().filter(|(mode, what)| {
            what.level != Level::Privileged && policy::labels(request.object, mode) != (None, None)
        });
        let said: Vec<String> = said.map(|(mode, what)| format!("{mode}={what}")).collect();
        let warning = format!(
            "namespace {:?} is exempt from Pod Security, and the policy ({}) will be ignored",
            request.namespace,
            said.join(", ")
        );
        Answer { warnings: vec![warning], ..Answer::default() }
    }

    fn admit_pod(&self, request: &Request<'_>, namespace: Result<&Value, &str>) -> Answer {
        if HARMLESS.contains(&request.subresource) {
            return Answer::default();
        }
        if let Some(reason) = self.exemption(request) {
            return Answer::exempt(reason);
        }
        let namespace = match namespace {
            Ok(namespace) => namespace,
            Err(error) => return unknown_namespace(request, error, true),
        };
        let (policy, errors) = policy::of_namespace(namespace, &self.configuration.defaults);
        if errors.is_empty() && policy.is_privileged() {
            let mut answer = Answer::default();
            answer.count(Decision::Allow, policy.enforce, Mode::Enforce);
            answer.annotate("enforce-policy", Policy::PRIVILEGED.enforce.to_string());
            return answer;
        }
        let is_update = request.operation == Operation::Update;
        if is_update && request.old.is_some_and(|old| !is_significant(request.object, old)) {
            return Answer::default();
        }
        self.evaluate(&policy, &errors, Pod::new(request.object), true)
    }

    fn admit_controller(&self, request: &Request<'_>, namespace: Result<&Value, &str>) -> Answer {
        if !request.subresource.is_empty() {
            return Answer::default();
        }
        if let Some(reason) = self.exemption(request) {
            return Answer::exempt(reason);
        }
        let namespace = match namespace {
            Ok(namespace) => namespace,
            Err(error) => return unknown_namespace(request, error, false),
        };
        let (policy, errors) = policy::of_namespace(namespace, &self.configuration.defaults);
        if errors.is_empty() && [policy.warn, policy.audit].iter().all(|one| one.level == Level::Privileged) {
            return Answer::default();
        }
        match template(request) {
            Some(template) => self.evaluate(&policy, &errors, Pod::new(template), false),
            None => Answer::default(),
        }
    }

    fn exemption(&self, request: &Request<'_>) -> Option<&'static str> {
        let exemptions = &self.configuration.exemptions;
        if exemptions.namespaces.contains(request.namespace) {
            Some("namespace")
        } else if exemptions.usernames.contains(request.user) {
            Some("user")
        } else {
            None
        }
    }

    fn evaluate(&self, policy: &Policy, errors: &Errors, pod: Pod<'_>, enforce: bool) -> Answer {
        if self.configuration.exemptions.runtime_classes.contains(pod.runtime_class()) {
            return Answer::exempt("runtimeClass");
        }
        let mut answer = Answer::default();
        if !errors.is_empty() {
            answer.annotate("error", format!("Failed to parse policy: {errors}"));
            answer.records.push(Record::Error { fatal: false });
        }
        let mut known: Vec<(LevelVersion, Verdict)> = Vec::with_capacity(3);
        let mut verdict = |by: LevelVersion| -> Verdict {
            if let Some((_, verdict)) = known.iter().find(|(policy, _)| *policy == by) {
                return verdict.clone();
            }
            let verdict = judge(by, pod);
            known.push((by, verdict.clone()));
            verdict
        };
        if enforce {
            answer.annotate("enforce-policy", policy.enforce.to_string());
            let verdict = verdict(policy.enforce);
            let decision = if verdict.is_allowed() { Decision::Allow } else { Decision::Deny };
            answer.count(decision, policy.enforce, Mode::Enforce);
            if !verdict.is_allowed() {
                let text = format!("violates PodSecurity \"{}\": {verdict}", policy.enforce);
                answer.denial = Some(Denial::Forbidden(text));
            }
        }
        let tell = |by: LevelVersion, verdict: &Verdict| format!("would violate PodSecurity \"{by}\": {verdict}");
        let audit = verdict(policy.audit);
        if !audit.is_allowed() {
            answer.annotate("audit-violations", tell(policy.audit, &audit));
            answer.count(Decision::Deny, policy.audit, Mode::Audit);
        }
        // Who is refused already need not be warned, too.
        if answer.denial.is_none() {
            let warn = verdict(policy.warn);
            if !warn.is_allowed() {
                answer.warnings.push(tell(policy.warn, &warn));
                answer.count(Decision::Deny, policy.warn, Mode::Warn);
            }
        }
        answer
    }
}

/// Nothing is known of the namespace: a pod is refused, what will make pods is noted and let through.
fn unknown_namespace(request: &Request<'_>, error: &str, refuse: bool) -> Answer {
    let text = format!("failed to lookup namespace {:?}", request.namespace);
    let mut answer = Answer { records: vec![Record::Error { fatal: true }], ..Answer::default() };
    if refuse {
        answer.annotate("error", format!("Internal error occurred: {text}: {error}"));
        answer.denial = Some(Denial::Internal(text));
    } else {
        answer.annotate("error", format!("{text}: {error}"));
    }
    answer
}

/// The template of the pods a workload will make.
fn template<'a>(request: &Request<'a>) -> Option<&'a Value> {
    let pointer = match request.resource {
        "podtemplates" => "/template",
        "cronjobs" => "/spec/jobTemplate/spec/template",
        _ => "/spec/template",
    };
    request.object.pointer(pointer).filter(|template| !template.is_null())
}
